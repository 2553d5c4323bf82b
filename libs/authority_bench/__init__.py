"""Measures the authority: how long it takes over rights, keys and bundles, and how large they get.

The only package beside a service that imports it, and nothing imports this one: it is a process,
``python -m authority_bench``, that `benchmarks.authority_run` starts and asks.

* `shapes`: how many topics and services, and who has what to do with which,
* `desk`: the authority as its `app.py` puts it together, on a real OpenBao, with a clock that can
  be moved on,
* `steps`: what it does in one key epoch, each step timed by itself.
"""
