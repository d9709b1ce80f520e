"""The commands of `liqcore`, one file each. Only cli imports them, and only the command that runs."""
