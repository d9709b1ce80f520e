"""An emulated venue for the hourly binary: lists of markets, books, orders, account, spot candles. SYNTHETIC."""
