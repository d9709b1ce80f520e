"""One account of the venue."""


class Account:
    """key, secret, uid, name: who it is. Created by Exchange.open_account."""

    def __init__(self, key: str, secret: str, uid: int, name: str) -> None:
        self.key, self.secret, self.uid, self.name = key, secret, uid, name

    def __repr__(self) -> str:
        return f"Account({self.name!r}, uid={self.uid})"
