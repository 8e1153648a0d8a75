"""Completions of all commands for bash, zsh and fish, from the options of their manual pages.

    python tools/gen_completions.py build/completions

The pages are checked against the parsers by the tests, so that the completions cannot drift.
Where no option is asked for, files are completed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

PAGES = Path(__file__).parent.parent / "docs" / "man"
TOOLS = "auditd-py"  # its first argument is another command, or migrate


def options(page: str) -> list[tuple[list[str], str]]:
    """Return the options of a page: their spellings and the beginning of what they do."""
    lines = page.replace("\\", "").splitlines()
    found = []
    for number, line in enumerate(lines):
        if line.startswith("**-") and number + 1 < len(lines) and lines[number + 1].startswith(":"):
            words = re.findall(r"\*\*(-[\w-]+)\*\*", line)
            about = re.split(r"[.:;](?: |$)", lines[number + 1].lstrip(": "))[0]
            found.append((words, re.sub(r"[*`\[\]'\"$]", "", about)))
    return found


def commands() -> dict[str, list[tuple[list[str], str]]]:
    """Return the options of each command that has a page."""
    return {
        page.name.split(".")[0]: options(page.read_text())
        for page in sorted(PAGES.glob("*.8.md"))
        if page.name.startswith("au")
    }


def tools(known: dict[str, list[tuple[list[str], str]]]) -> dict[str, str]:
    """Return what auditd-py takes as its first argument, and whose options follow it."""
    names = {name: name for name in known if name != TOOLS and not name.startswith(f"{TOOLS}-")}
    inner = {name.removeprefix(f"{TOOLS}-"): name for name in known if name.startswith(f"{TOOLS}-")}
    return names | inner


def words(rows: list[tuple[list[str], str]]) -> str:
    """Return all spellings of all options."""
    return " ".join(word for spellings, _ in rows for word in spellings)


def bash(known: dict[str, list[tuple[list[str], str]]]) -> dict[str, str]:
    """Return the files for bash, by name."""
    files = {}
    reply = 'COMPREPLY=($(compgen -W "{}" -- "${{COMP_WORDS[COMP_CWORD]}}"))'
    for name, rows in known.items():
        if name.startswith(f"{TOOLS}-"):
            continue
        function = "_" + name.replace("-", "_")
        body = f"    {reply.format(words(rows))}"
        if name == TOOLS:
            cases = "".join(
                f"        {tool}) {reply.format(words(known[page]))} ;;\n"
                for tool, page in tools(known).items()
            )
            first = reply.format(" ".join(tools(known)) + " " + words(rows))
            body = (
                f"    if [ $COMP_CWORD = 1 ]; then {first}; return; fi\n"
                f"    case ${{COMP_WORDS[1]}} in\n{cases}    esac"
            )
        files[name] = (
            f"{function}() {{\n{body}\n}}\ncomplete -o bashdefault -o default -F {function} {name}\n"
        )
    return files


def zsh(known: dict[str, list[tuple[list[str], str]]]) -> dict[str, str]:
    """Return the files for zsh, by name."""
    files = {}
    for name, rows in known.items():
        if name.startswith(f"{TOOLS}-"):
            continue
        described = _zsh_rows(rows)
        if name != TOOLS:
            files[f"_{name}"] = f"#compdef {name}\n_arguments \\\n{described}  '*:file:_files'\n"
            continue
        cases = "".join(
            f"  {tool}) _arguments \\\n{_zsh_rows(known[page])}  '*:file:_files' ;;\n"
            for tool, page in tools(known).items()
        )
        files[f"_{name}"] = (
            f"#compdef {name}\nif (( CURRENT == 2 )); then\n"
            f"  compadd -- {' '.join(tools(known))} {words(rows)}\n  return\nfi\n"
            f"shift words; (( CURRENT-- ))\ncase $words[1] in\n{cases}esac\n"
        )
    return files


def _zsh_rows(rows: list[tuple[list[str], str]]) -> str:
    return "".join(
        f"  '{word}[{about.replace(':', '')}]' \\\n"
        for spellings, about in rows
        for word in spellings
    )


def fish(known: dict[str, list[tuple[list[str], str]]]) -> dict[str, str]:
    """Return the files for fish, by name."""
    files = {}
    for name, rows in known.items():
        if name.startswith(f"{TOOLS}-"):
            continue
        lines = [_fish_row(name, "", row) for row in rows]
        if name == TOOLS:
            lines = [f"complete -c {name} -n __fish_use_subcommand -a '{' '.join(tools(known))}'"]
            lines += [_fish_row(name, " -n __fish_use_subcommand", row) for row in rows]
            for tool, page in tools(known).items():
                condition = f" -n '__fish_seen_subcommand_from {tool}'"
                lines += [_fish_row(name, condition, row) for row in known[page]]
        files[f"{name}.fish"] = "\n".join(lines) + "\n"
    return files


def _fish_row(name: str, condition: str, row: tuple[list[str], str]) -> str:
    spellings, about = row
    flags = []
    for word in spellings:
        kind = "l" if word.startswith("--") else "s" if len(word) == 2 else "o"
        flags.append(f"-{kind} {word.lstrip('-')}")
    return f"complete -c {name}{condition} {' '.join(flags)} -d '{about}'"


def main(target: str) -> None:
    """Write all files below the folder."""
    known = commands()
    for shell, files in (("bash", bash(known)), ("zsh", zsh(known)), ("fish", fish(known))):
        folder = Path(target) / shell
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
