"""Frames and answers of a Bybit account, spelled as the venue documents them, for the tests of what reads them."""

import copy
from typing import Any

ORDER: dict[str, Any] = {
    "category": "linear", "symbol": "ETHUSDT", "orderId": "5cf98598-39a7-459e-97bf-76ca765ee020", "orderLinkId": "fade_k2x9-1a2", "parentOrderLinkId": "",
    "blockTradeId": "", "side": "Buy", "positionIdx": 0, "orderStatus": "New", "cancelType": "UNKNOWN", "rejectReason": "EC_NoError",
    "createType": "CreateByUser", "stopOrderType": "UNKNOWN", "orderType": "Limit", "price": "2496.25", "qty": "0.80", "leavesQty": "0.80",
    "leavesValue": "1997", "cumExecQty": "0", "cumExecValue": "0", "avgPrice": "", "cumExecFee": "0", "cumFeeDetail": {}, "timeInForce": "PostOnly",
    "triggerPrice": "", "triggerBy": "", "triggerDirection": 0, "takeProfit": "", "stopLoss": "2490.01", "tpTriggerBy": "", "slTriggerBy": "LastPrice",
    "tpslMode": "Full", "tpLimitPrice": "", "slLimitPrice": "", "reduceOnly": False, "closeOnTrigger": False, "closedPnl": "0", "orderIv": "",
    "smpType": "None", "smpGroup": 0, "smpOrderId": "", "feeCurrency": "", "lastPriceOnCreated": "2500.00", "placeType": "", "marketUnit": "",
    "isLeverage": "", "createdTime": "1700000000100", "updatedTime": "1700000000101"}
EXECUTION: dict[str, Any] = {
    "category": "linear", "symbol": "ETHUSDT", "execId": "7e2ae69c-4edf-5800-a352-893d52b446aa", "orderId": ORDER["orderId"],
    "orderLinkId": ORDER["orderLinkId"], "side": "Buy", "execPrice": "2496.25", "execQty": "0.30", "execValue": "748.875", "execFee": "0.149775",
    "feeRate": "0.0002", "execPnl": "0", "execType": "Trade", "isMaker": True, "leavesQty": "0.50", "closedSize": "0", "orderPrice": "2496.25",
    "orderQty": "0.80", "orderType": "Limit", "stopOrderType": "UNKNOWN", "createType": "CreateByUser", "execTime": "1700000000500", "seq": 4688002127,
    "markPrice": "2496.40", "indexPrice": "", "underlyingPrice": "", "blockTradeId": "", "markIv": "", "tradeIv": "", "isLeverage": "0", "marketUnit": "",
    "feeCurrency": ""}
POSITION: dict[str, Any] = {
    "category": "linear", "symbol": "ETHUSDT", "side": "Buy", "size": "0.30", "positionIdx": 0, "tradeMode": 0, "positionValue": "748.875", "riskId": 11,
    "riskLimitValue": "900000", "entryPrice": "2496.25", "markPrice": "2496.40", "leverage": "5", "positionBalance": "0", "autoAddMargin": 0,
    "positionIM": "150", "positionMM": "4", "liqPrice": "", "bustPrice": "", "tpslMode": "Full", "takeProfit": "0.00", "stopLoss": "2490.01",
    "trailingStop": "0.00", "unrealisedPnl": "0.045", "curRealisedPnl": "-0.149775", "cumRealisedPnl": "-12.2", "positionStatus": "Normal",
    "adlRankIndicator": 2, "isReduceOnly": False, "mmrSysUpdatedTime": "", "leverageSysUpdatedTime": "", "createdTime": "1690000000000",
    "updatedTime": "1700000000501", "seq": 8327597863}
FLAT: dict[str, Any] = POSITION | {"side": "", "size": "0", "entryPrice": "0", "stopLoss": "", "takeProfit": "", "trailingStop": "", "seq": -1,
                                   "updatedTime": "", "leverage": "", "markPrice": ""}
WALLET: dict[str, Any] = {
    "accountType": "UNIFIED", "accountIMRate": "0", "accountMMRate": "0", "totalEquity": "10262.91", "totalWalletBalance": "9684.46",
    "totalMarginBalance": "9684.46", "totalAvailableBalance": "9556.60", "totalPerpUPL": "0", "totalInitialMargin": "0", "totalMaintenanceMargin": "0",
    "accountLTV": "0", "coin": [{"coin": "USDT", "equity": "9000.5", "usdValue": "9000.1", "walletBalance": "8800", "availableToWithdraw": "",
                                 "totalOrderIM": "100", "totalPositionIM": "150", "unrealisedPnl": "0.045", "cumRealisedPnl": "-1100", "bonus": "0",
                                 "borrowAmount": "", "locked": "0"}]}
ISOLATED: dict[str, Any] = WALLET | {"totalEquity": "", "totalWalletBalance": "", "totalAvailableBalance": ""}
EXECUTION_REST: dict[str, Any] = {key: value for key, value in EXECUTION.items() if key != "category"}
POSITION_REST: dict[str, Any] = {("avgPrice" if key == "entryPrice" else key): value for key, value in POSITION.items() if key != "category"}
ORDER_REST: dict[str, Any] = {key: value for key, value in ORDER.items() if key != "category"}
REPLY: dict[str, Any] = {
    "reqId": "c1f-1a2", "retCode": 0, "retMsg": "OK", "op": "order.create", "data": {"orderId": ORDER["orderId"], "orderLinkId": "fade_k2x9-1a2"},
    "retExtInfo": {}, "connId": "cnt5leec0hvan15eukcg-2t", "header": {"X-Bapi-Limit": "10", "X-Bapi-Limit-Status": "9",
                                                                       "X-Bapi-Limit-Reset-Timestamp": "1700000000300", "Traceid": "8c", "Timenow": "1700000000299"}}
KEY_INFO: dict[str, Any] = {
    "id": "16651472", "note": "liqcore", "apiKey": "Zk3xCanaryKey09aQp", "readOnly": 0, "secret": "",
    "permissions": {"ContractTrade": ["Order", "Position"], "Spot": [], "Wallet": [], "Options": [], "Derivatives": ["DerivativesTrade"],
                    "CopyTrading": [], "BlockTrade": [], "Exchange": [], "NFT": []},
    "ips": ["203.0.113.7"], "type": 1, "deadlineDay": 88, "expiredAt": "2027-02-15T03:13:24Z", "createdAt": "2026-11-17T03:13:24Z", "unified": 0, "uta": 1,
    "userID": 53888001, "inviterID": 0, "vipLevel": "No VIP", "mktMakerLevel": "0", "affiliateID": 0, "isMaster": True, "parentUid": "0"}


def frame(topic: str, *rows: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A frame of the private stream; changes are made to each row."""
    return {"id": "592324803b2785-26fa", "topic": topic, "creationTime": 1700000000600, "data": [copy.deepcopy(row) | changes for row in rows]}


def envelope(result: Any, code: int = 0, message: str = "OK") -> dict[str, Any]:
    """A REST answer."""
    return {"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": 1700000000700}


def listing(*rows: dict[str, Any], cursor: str = "", **changes: Any) -> dict[str, Any]:
    """A REST answer with a list."""
    return envelope({"category": "linear", "nextPageCursor": cursor, "list": [copy.deepcopy(row) | changes for row in rows]})
