"""Deterministic fault simulation: a whole trading process against a whole venue, in one process, on a virtual clock and a virtual network.

One seed is one run: what it does is a function of (seed, commit) and of nothing else. Real are the engine, the guard, the dispatch, the state image,
the store, the gateway, and on the other side the venue's matching, its account, its wire protocol and its faults. Replaced are time, the wires
between the two, and the market data, which is generated.

    python -m tests.faults run --seeds 0:1000 --hours 10     a campaign
    python -m tests.faults reproduce SEED                    one run, with its trace
    python -m tests.faults shrink SEED                       the smallest script that still fails
    python -m tests.faults mutants                           a dozen classic bugs, each of which must be found
"""
