"""The data that must survive the trading process, and the tools that must work without it. One folder per account and configuration (the state
folder):

    control       the control page: kill switch, heartbeat, who runs (control.py); control.twin says the same
    image.bin     what the engine believes of every trade, written before every send (image.pyx)
    store.sqlite  what happened: runs, orders, executions, notices, limits, kills (store.py)
    lock          one live process per folder (lock.py)
    rescue.json   what a rescue must know to act alone: addresses, prefix, symbols; no secret (rescue reads it)
    KILL          a file of this name kills as the command does, and is there while the folder is killed (switch.py: what of these is believed)

Nothing here is ever silently reset: a damaged image or store is renamed aside, and a start is refused until a person has looked.
"""
