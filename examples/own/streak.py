"""A detector of one's own: so many liquidations of one side in a row, each less than `window_s` after the one before. See own.toml for its name."""

import liqcore as lc


class Streak(lc.CustomDetector):
    PARAMETERS = (
        lc.Parameter("length", 6, 2, 1000, "liquidations", "so many of one side in a row make it ACTIVE"),
        lc.Parameter("window_s", 120.0, 1e-3, 1e5, "s", "a pause of so long ends the row: EXHAUSTED"),
    )

    def start(self):
        self.side = self.count = self.last = 0
        self.notional = 0.0
        self.active = False

    def on_event(self, event):
        out = []
        if event.side != self.side:
            out = self.end()
            self.side = event.side
        self.count += 1
        self.notional += event.notional
        self.last = event.ts
        if self.count == self.parameters["length"]:
            self.active = True
            out.append(self.say(lc.Phase.ACTIVE))
        return out

    def on_timer(self, now):
        return self.end()

    def deadline(self):
        return self.last + round(self.parameters["window_s"] * lc.SECOND) if self.count else None

    def end(self):
        out = [self.say(lc.Phase.EXHAUSTED)] if self.active else []
        self.start()
        return out

    def say(self, phase):
        longs = self.notional if self.side == lc.LONG else 0.0
        return lc.PhaseChange(
            phase,
            self.side,
            count=self.count,
            long_notional=longs,
            short_notional=self.notional - longs,
            threshold=self.parameters["length"],
            z=self.count,
            rolling=self.notional,
        )
