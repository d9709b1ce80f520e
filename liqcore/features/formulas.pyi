FORMULAS: tuple[str, ...]
TRANSFORMS: tuple[str, ...]
