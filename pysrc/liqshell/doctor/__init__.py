"""`liqcore doctor`: is it safe to start? Asks the configured venue by REST, sends no order, changes nothing.

facts = await gather(config, keys)          # facts about the venue and this machine
checks = examine(config, facts)             # a pure function of the facts
"""

from liqshell.doctor.checks import Check, examine
from liqshell.doctor.facts import Facts, gather
from liqshell.doctor.limits_text import describe_limits

__all__ = ["Check", "Facts", "examine", "gather", "describe_limits"]
