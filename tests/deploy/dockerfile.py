"""What must be true of the Dockerfile: precise bases, no root, a health check, a closed context."""

import re
from collections.abc import Iterator

from tests.deploy.reading import ROOT
from tests.deploy.rules import PRECISE

PLACE = ROOT / "deploy" / "Dockerfile"
IGNORED = ROOT / ".dockerignore"


def instructions(text: str) -> list[tuple[str, str]]:
    """(word, arguments), long lines joined, comments left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [
        (word.upper(), rest.strip())
        for word, _, rest in (line.strip().partition(" ") for line in joined.splitlines())
        if word
    ]


def complaints(text: str, ignored: str) -> Iterator[str]:
    """Everything that is wrong with a Dockerfile and its .dockerignore."""
    found = instructions(text)
    stages = {rest.split()[2] for word, rest in found if word == "FROM" and " AS " in rest}
    for word, rest in found:
        image = rest.split()[0] if rest else ""
        if word == "FROM" and image not in stages and not PRECISE.fullmatch(image):
            yield f"{image} is any version"
        if word == "ADD":
            yield "ADD fetches and unpacks: COPY"
        if word in ("COPY", "ADD") and re.match(r"(?!--from)\.(\s|$)", rest):
            yield "copies whatever lies about"
        if word in ("ENV", "ARG") and re.search(r"(PASSWORD|SECRET|TOKEN)\w*=", rest, re.I):
            yield f"{word} holds a secret"
    last = max((number for number, (word, _) in enumerate(found) if word == "FROM"), default=0)
    final = found[last:]
    users = [rest for word, rest in final if word == "USER"]
    if not users or not re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", users[-1]):
        yield "runs as root, or as a name that Kubernetes cannot tell from root"
    if not any(word == "HEALTHCHECK" and "CMD" in rest for word, rest in final):
        yield "never says whether it is well"
    if len([word for word, _ in found if word == "FROM"]) < 2:
        yield "is built and run in one stage"
    lines = [line.split("#")[0].strip() for line in ignored.splitlines()]
    if [line for line in lines if line][:1] != ["*"]:
        yield ".dockerignore lets in what it does not name"
    needed = {
        word
        for name, rest in found
        if name == "COPY" and not rest.startswith("--from")
        for word in rest.split()[:-1]
    }
    for name in sorted(needed - {line.removeprefix("!") for line in lines}):
        yield f".dockerignore keeps {name} out"
