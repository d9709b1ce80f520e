TRADE_NAME: bytes
