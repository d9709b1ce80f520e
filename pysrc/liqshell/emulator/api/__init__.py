"""The account side of the emulated venue without sockets: signed requests, the private stream, and the faults of both."""
