"""Markets without any edge, and whether a backtest claims one on them.

    PYTHONPATH=.:pysrc python -m tests.martingales --markets 100 --workers 1

The mid is a martingale on a fine grid; trades are at bid or ask by an aggressor that knows nothing; liquidations come in one-sided clusters that know
nothing either. What such a market does have is bid-ask bounce: after a flush of longs the last prints are at the bid, because those who were closed
sold there. A backtest that fills at a print which has passed, or against a quote that has ended, finds an edge here, and it is wrong.

`market.py` makes the markets, `policies.py` trades, `campaign.py` runs the real backtest and lets the report's own function judge it.
"""
