"""Modules under their old names, from before they were moved into folders.

`import liqcore.detect` finds liqcore.detectors.cascade, with a DeprecationWarning. The release after the first drops the old names. A cimport needs
the new one.
"""

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from warnings import warn

PATHS = {
    "account": "execution.account",
    "anomaly": "detectors.segment_anomaly",
    "answers": "execution.decisions",
    "bank": "detectors.detector_set",
    "bars": "detectors.bar_clock",
    "batch_hawkes": "batch.hawkes_fit",
    "book": "simulation.book",
    "bracket": "execution.bracket",
    "columns": "simulation.columns",
    "density": "kernels.realised_map",
    "detect": "detectors.cascade",
    "detector": "detectors.detector",
    "dollar": "detectors.usd_window",
    "door": "validate",
    "encode": "codec.encode",
    "excited": "detectors.self_excitation",
    "feature": "features.features",
    "feature_formulas": "features.formulas",
    "feature_kernels": "features.kernels",
    "feature_spec": "features.spec",
    "feature_state": "features.state",
    "feature_table": "features.table",
    "feature_value": "features.value",
    "hawkes": "kernels.hawkes",
    "imbalance": "detectors.imbalance",
    "intake": "engine",
    "ladder": "kernels.price_ladder",
    "latency": "simulation.latency",
    "layout": "codec.layout",
    "listen": "simulation.tape_signals",
    "machine": "engine",
    "matcher": "simulation.matcher",
    "paper": "simulation.paper",
    "parameters": "detectors.parameters",
    "passage": "kernels.first_passage",
    "pending": "kernels.estimated_map",
    "quantile": "kernels.quantile",
    "rate": "detectors.event_rate",
    "registry": "detectors.registry",
    "risk": "execution.risk",
    "scan": "codec.decode",
    "shape": "codec.shape",
    "sides": "execution.side_check",
    "simulate": "simulation.venue",
    "slot": "execution.order_state",
    "standalone": "detectors.single",
    "sweep_columns": "sweep.columns",
    "sweep_grid": "sweep.grid",
    "sweep_kernel": "sweep.kernel",
    "sweep_state": "sweep.records",
    "tape": "simulation.tape",
    "tape_builder": "simulation.tape_builder",
    "terms": "bracket_spec",
    "trades": "execution.trade_snapshot",
    "waiting": "execution.pending_decisions",
    "walk": "simulation.tape_runner",
    "window": "kernels.window",
    "zone": "detectors.price_zone",
    "zscore": "kernels.zscore",
}
# removed modules, and their faster replacements
GONE = {
    "batch_cascade": "liqcore.Engine.run, liqcore.Tape.signals, or liqcore.detectors.single.Standalone.run_all for many instruments in threads",
    "batch_excitation": "liqcore.kernels.hawkes.Hawkes.run",
    **dict.fromkeys(("batch_detectors", "batch_phases"), "liqcore.detectors.single.Standalone, or `liqcore detect`"),
    **dict.fromkeys(("batch_feature", "batch_feature_kernels", "batch_ladder", "batch_maps"), "liqcore.Features: push, then rows or table"),
    **dict.fromkeys(("sweep_bracket", "sweep_terms", "sweep_venue", "sweep_walk"), "liqcore.sweep.sweep, which is compiled with the package"),
}


def moved(name: str, stacklevel: int) -> ModuleType:
    """The module with the old name `liqcore.NAME`, with the warning. AttributeError if there was none."""
    if name not in PATHS:
        raise AttributeError(f"module 'liqcore' has no attribute {name!r}" + (f"; use {GONE[name]}" if name in GONE else ""))
    new = f"liqcore.{PATHS[name]}"
    warn(f"liqcore.{name} is {new} now; import that: the old name goes with the next release", DeprecationWarning, stacklevel=stacklevel)
    return import_module(new)


class OldPaths:
    """A finder of sys.meta_path that is also the loader of what it finds."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        package, _, module = name.partition(".")
        if package == "liqcore" and module in GONE:
            raise ModuleNotFoundError(f"{name} is gone; use {GONE[module]}", name=name)
        if package != "liqcore" or module not in PATHS:
            return None
        return ModuleSpec(name, OldPaths())

    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType:
        module = moved(spec.name.partition(".")[2], stacklevel=3)
        spec.loader_state = module.__spec__
        return module

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Restore the module's __spec__, which the import has replaced. Its code has already run under its own name."""
        module.__spec__ = module.__spec__.loader_state


sys.meta_path.append(OldPaths())
