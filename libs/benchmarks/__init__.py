"""What cryptography and messages cost on this machine, said so that it can be compared.

Absolute rates of a shared machine change by a factor of two from minute to minute, so each figure
also comes as a ratio to the bare primitive, both measured in slices that take turns. Start reading
at `benchmarks.crypto` and `benchmarks.messages`, one module per benchmark:

* `rounds`, `spread`, `report`: who measures when, and what is made of it; nothing here runs
  anything;
* `crew`, `worker`: the processes that measure, each on the processors it was given; one line of
  JSON asks, one answers;
* `timed_loop`, `crypto_cases`, `channel_load`, `open_loop`: what they run;
* `transport`, `transport_bench`, `sealed_exchange`, `bare_exchange`: requests and answers over a
  server, which `places` and `certificates` describe and the command starts;
* `swap`, `swap_worker`, `swap_ways`, `swap_bare_ways`, `steady_load`: a stream of messages while
  certificates are replaced under it; `swap_flow` and `swap_report` say what it noticed;
* `machine`: where it was measured and with which versions.

It drives the library through its public names, knows no services, and starts no servers.
"""
