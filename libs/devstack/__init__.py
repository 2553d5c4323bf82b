"""A real OpenBao, a real NATS cluster and the four services on one machine.

Used by ``securetransport up`` and ``demo``, by the integration tests and by the benchmarks. Start
reading at `devstack.stack`, which holds the boot order; each part it starts has its own module:

* `layout`, `endpoints`, `ports`: where everything is, on disk and on loopback;
* `processes`, `launcher`, `registry`: children that never outlive their supervisor unnoticed;
* `openbao`, `bootstrap`, `bootstrap_spec`: the secret store and what is set up in it;
* `nats_nodes`, `services`: the other children;
* `takedown`: ends what a kept or orphaned stack left behind.

It imports the library but never a service: services are started as processes, as anywhere else.
"""
