"""Programs that other people wrote for Alpaca, unmodified from their registries, against the sandbox.

`make clients` installs each into a folder of its own below `.tools/clients`, pinned by the hashes in
`requirements/clients`, and runs `with_clients.py`. For each client there is

    drivers/      a small program that uses the client's own API, does a fixed list of things and prints what it got,
                  a line of JSON for each. Where a client is at fault, its driver says so. Drivers in Python run in the
                  client's own environment, and those for Node beside its node_modules
    with_clients.py   what must have come out: values, not only that nothing was thrown
    recordings/   what the client sent meanwhile: requests and messages on WebSockets, without secrets

Between client and sandbox stands `recorder.py`. It writes down what passes, and answers under Alpaca's own host names
and over TLS, for clients that take no other. `make clients` fails if a client sends something else than its recording
says; `make clients RECORD=--record` writes the recordings anew.

The tests of `make test` need none of the clients: `tests/sandbox/test_recorded_clients.py` replays the recordings. Two
of these are written by hand, from the public sources of Alpaca's SDKs for Go and C#, which are not installed here.
"""
