"""Deterministic fault simulation: a whole trading process against a whole venue, in one process, on a virtual clock and a virtual network.

One seed is one run: what it does is a function of (seed, commit) and of nothing else. Real are the engine, the guard, the dispatch, the state image,
the store, the gateway, and on the other side the venue's matching, its account, its wire protocol and its faults. Replaced are time, the wires
between the two, and the market data, which is generated.

    python -m tests.faults run --seeds 0:1000 --hours 10     a campaign; seeds from 3000000 on are the second one
    python -m tests.faults reproduce SEED                    one run, with its trace
    python -m tests.faults shrink SEED                       the smallest script that still fails
    python -m tests.faults mutants                           classic bugs of the program, each of which must be found
    python -m tests.faults generator                         bugs of the campaign itself, which its own check must find

kinds, script: what goes wrong, and the profiles that make rare states likely. world, process, life, venue, network, market: the run. acts, account_acts, people: what is done to it. laws: by name.
truth, duties, end: the first judge. books: the second. states, selfcheck: whether the campaign looked. drift: changed frames. mutants, generator: bugs.
"""
