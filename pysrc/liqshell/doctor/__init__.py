"""`liqcore doctor`: is it safe to start? Asks the configured venue by REST, sends no order, changes nothing.

facts = await gather(config, keys)          # what the venue and this machine say
checks = examine(config, facts)             # what follows from it: a pure function
"""

from liqshell.doctor.checks import Check, examine
from liqshell.doctor.facts import Facts, gather
from liqshell.doctor.limits_text import describe_limits

__all__ = ["Check", "Facts", "examine", "gather", "describe_limits"]
