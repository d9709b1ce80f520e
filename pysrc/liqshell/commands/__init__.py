"""What the `liqcore` command does, one file a command. Nothing imports them but cli, and only the one that was asked for."""
