"""`liqcore gate`: the paper gate, the go-live gate and the scale gate, filled in from run folders.

    runs = [open_run(folder) for folder in folders]
    found = evaluate(runs)                 # one Item a requirement: required, measured with n and interval, verdict
    save(found, folder)                 # gate.json, gate.html

A gate passes on evidence, never on its absence: what has too little data is "not enough data", and so is the whole.
"""

from liqshell.gate.evaluation import Gate, evaluate
from liqshell.gate.evidence import Evidence, open_run
from liqshell.gate.items import Item
from liqshell.gate.page import print_gate, save

__all__ = ["Evidence", "Gate", "Item", "evaluate", "open_run", "print_gate", "save"]
