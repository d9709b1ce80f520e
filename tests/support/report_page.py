"""A report as tests see it: the elements and words of the page, and the text of the terminal."""

from html.parser import HTMLParser
from io import StringIO

from rich.console import Console

from liqshell.report import print_report

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """Collects elements, attributes and text, and checks that tags are balanced."""

    def __init__(self, text: str):
        super().__init__()
        self.stack, self.tags, self.attributes, self.text, self.scripts = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.stack and self.stack.pop() == tag, f"</{tag}> closes nothing of the kind, line {self.getpos()[0]}"

    def handle_data(self, data):
        (self.scripts if self.stack and self.stack[-1] in ("script", "style") else self.text).append(data)


def terminal(summary: dict) -> str:
    console = Console(file=StringIO(), width=160)
    print_report(summary, console)
    return console.file.getvalue()
