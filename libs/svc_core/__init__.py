"""The toolkit every service stands on.

Dependencies point one way only, and an import contract enforces it::

    kit > adapters | flows | settings_loader > runtime > config
        > ports > wire | crypto > domain > errors

* `svc_core.domain`, `svc_core.crypto`, `svc_core.wire`: pure; they take ``now`` and entropy.
* `svc_core.ports`: the roles the core needs someone to play.
* `svc_core.adapters`: the only modules that touch the world.
* `svc_core.flows`: stories every service shares, told against ports.
* `svc_core.runtime`: supervision, health, logs.
* `svc_core.kit`: what a service's composition root starts from.

Start with `svc_core.domain.desired` (what everybody follows), then ``docs/tour.md``.
"""
