# SPDX-License-Identifier: Apache-2.0
"""Shell scripts, parsed one complete command at a time, as a shell does: what follows the last `exec` may be anything.

POSIX.1-2024 XCU 2.2 (quoting), 2.3 (tokens), 2.6 (expansions), 2.9 and 2.10 (commands); of bash: [[ ]], (( )), arrays,
`function`, $'...', here-strings, `&>`, process substitution, the substring, replacement and case operators.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from caplet.image.wrappers.shell.syntax import (
    AndOr,
    Arithmetic,
    Assignment,
    Background,
    Case,
    Command,
    Endless,
    For,
    Function,
    If,
    Literal,
    Node,
    Opaque,
    Parameter,
    Part,
    Pipeline,
    Sequence,
    Simple,
    Subshell,
    Test,
    While,
    Word,
    plain,
)

if TYPE_CHECKING:
    from collections.abc import Collection

MAX_DEPTH = 40
"""Commands and substitutions within one another; Python's stack bounds it. Real scripts stay below ten."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\[[^\]\n]*\])?(\+?)=")
_META = frozenset(" \t\n;&|<>()")
_OPERATORS = (
    "<<<",
    "<<-",
    ";;&",
    "&>>",
    "&&",
    "||",
    ";;",
    ";&",
    "<<",
    ">>",
    "<&",
    ">&",
    "<>",
    ">|",
    "&>",
    "|&",
)
_REDIRECTIONS = frozenset({"<", ">", "<<", "<<-", "<<<", ">>", "<&", ">&", "<>", ">|", "&>", "&>>"})
_CLOSERS = frozenset({"then", "else", "elif", "fi", "do", "done", "esac", "}"})
_EXPANSION_OPERATORS = (
    ":-", ":=", ":?", ":+", "##", "%%", "//", "/#", "/%", "^^", ",,", "-", "=", "?", "+", "#", "%", "/", "^", ",", ":", "@",
)  # fmt: skip
_ANSI_C = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "v": "\v"}  # fmt: skip


class NotUnderstood(Exception):
    """The text is no shell script, or uses what this parser does not read."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"line {line}: {what}")
        self.line = line
        self.what = what


class Parser:
    """`next()` gives one complete command after the other, None at the end."""

    def __init__(self, text: str, first_line: int = 1, depth: int = 0) -> None:
        self._text = text
        self._at = 0
        self._line = first_line
        self._depth = depth
        self._pending: list[tuple[str, bool]] = []
        """Here-documents that begin after this line: (delimiter, tabs are stripped)."""

    def next(self) -> Node | None:
        self._newlines()
        if self._at >= len(self._text):
            return None
        node = self._list_item()
        self._blanks()
        ended = self._at >= len(self._text) or self._peek() in ("\n", ";") or isinstance(node, Background)
        if not ended or self._operator() in (";;", ";&", ";;&"):
            raise self._error(f"{self._peek()!r} is not expected here")
        if self._peek() == ";":
            self._at += 1
        return node

    # Lists

    def _list_item(self) -> Node:
        node = self._and_or()
        self._blanks()
        if self._peek() == "&" and self._operator() == "&":
            self._at += 1
            return Background(node)
        return node

    def _sequence(self, closers: Collection[str]) -> Sequence:
        """Commands up to a closing word, which is left, or to an operator such as `)` and `;;`."""
        self._enter()
        items: list[Node] = []
        while True:
            self._newlines()
            if self._at >= len(self._text):
                raise self._error(f"the script ends where {' or '.join(sorted(closers))} is expected")
            operator = self._operator()
            if operator in closers or self._reserved(closers):
                break
            items.append(self._list_item())
            self._blanks()
            if self._operator() == ";":
                self._at += 1
        self._depth -= 1
        return Sequence(tuple(items))

    def _and_or(self) -> Node:
        first = self._pipeline()
        rest: list[tuple[str, Node]] = []
        while True:
            self._blanks()
            operator = self._operator()
            if operator not in ("&&", "||"):
                break
            self._at += 2
            self._newlines()
            rest.append((operator, self._pipeline()))
        return AndOr(first, tuple(rest)) if rest else first

    def _pipeline(self) -> Node:
        negated = False
        self._blanks()
        while self._reserved({"!"}):
            self._take("!")
            negated = not negated
            self._blanks()
        if self._reserved({"time"}):
            self._take("time")
            self._blanks()
            if self._reserved({"-p"}):
                self._take("-p")
        commands = [self._command()]
        while True:
            self._blanks()
            operator = self._operator()
            if operator not in ("|", "|&"):
                break
            self._at += len(operator)
            self._newlines()
            commands.append(self._command())
        return Pipeline(tuple(commands), negated) if negated or len(commands) > 1 else commands[0]

    # Commands

    def _command(self) -> Node:
        self._enter()
        self._blanks()
        node = self._compound()
        if node is None:
            node = self._simple()
        elif not isinstance(node, Function):
            self._redirections()
        self._depth -= 1
        return node

    def _compound(self) -> Node | None:
        if self._text.startswith("((", self._at):
            return self._arithmetic_command()
        if self._peek() == "(":
            self._at += 1
            body = self._sequence({")"})
            self._at += 1
            return Subshell(body)
        word = self._reserved_word()
        match word:
            case "{":
                self._take(word)
                body = self._sequence({"}"})
                self._take("}")
                return body
            case "if":
                return self._if()
            case "while" | "until":
                return self._while(word)
            case "for" | "select":
                return self._for(word)
            case "case":
                return self._case()
            case "[[":
                return self._test()
            case "function":
                self._take(word)
                self._blanks()
                name = self._bare_word()
                self._blanks()
                if self._text.startswith("(", self._at):
                    self._expect("(")
                    self._expect(")")
                self._newlines()
                return Function(name, self._function_body())
        if word in _CLOSERS:
            raise self._error(f"{word!r} is not expected here")
        match = re.compile(r"([A-Za-z_][A-Za-z0-9_.:-]*)[ \t]*\([ \t]*\)").match(self._text, self._at)
        if match is None:
            return None
        self._at = match.end()
        self._newlines()
        return Function(match[1], self._function_body())

    def _function_body(self) -> Node:
        body = self._command()
        self._redirections()
        return body

    def _if(self) -> Node:
        self._take("if")
        clauses = [self._clause()]
        otherwise = None
        while True:
            word = self._reserved_word()
            if word == "elif":
                self._take(word)
                clauses.append(self._clause())
            elif word == "else":
                self._take(word)
                otherwise = self._sequence({"fi"})
            else:
                self._take("fi")
                return If(tuple(clauses), otherwise)

    def _clause(self) -> tuple[Sequence, Sequence]:
        condition = self._sequence({"then"})
        self._take("then")
        return condition, self._sequence({"elif", "else", "fi"})

    def _while(self, word: str) -> Node:
        line = self._line
        self._take(word)
        condition = self._sequence({"do"})
        return While(line, condition, self._do_group(), word == "until")

    def _do_group(self) -> Sequence:
        self._newlines()
        self._take("do")
        body = self._sequence({"done"})
        self._take("done")
        return body

    def _for(self, word: str) -> Node:
        line = self._line
        self._take(word)
        self._blanks()
        if self._text.startswith("((", self._at):
            self._arithmetic_command()
            self._separators()
            return Endless(line, self._do_group())
        name = self._bare_word()
        self._newlines()
        words: list[Word] | None = None
        if self._reserved({"in"}):
            self._take("in")
            words = []
            while True:
                self._blanks()
                if self._peek() in ("\n", ";", ""):
                    break
                words.append(self._word())
        self._separators()
        body = self._do_group()
        if word == "select":
            return Endless(line, body)
        return For(line, name, None if words is None else tuple(words), body)

    def _separators(self) -> None:
        self._blanks()
        if self._peek() == ";":
            self._at += 1
        self._newlines()

    def _case(self) -> Node:
        self._take("case")
        self._blanks()
        word = self._word()
        self._newlines()
        self._take("in")
        items: list[tuple[tuple[Word, ...], Sequence, str]] = []
        while True:
            self._newlines()
            if self._reserved({"esac"}):
                self._take("esac")
                return Case(word, tuple(items))
            patterns = self._patterns()
            body = self._sequence({";;", ";&", ";;&", "esac"})
            end = self._operator()
            if end in (";;", ";&", ";;&"):
                self._at += len(end)
            items.append((patterns, body, end if end.startswith(";") else ";;"))

    def _patterns(self) -> tuple[Word, ...]:
        if self._peek() == "(":
            self._at += 1
        patterns: list[Word] = []
        while True:
            self._blanks()
            patterns.append(self._word())
            self._blanks()
            if self._peek() != "|":
                break
            self._at += 1
        self._expect(")")
        return tuple(patterns)

    def _test(self) -> Node:
        line = self._line
        self._take("[[")
        words: list[Word] = []
        while True:
            self._newlines()
            if self._at >= len(self._text):
                raise self._error("[[ has no end")
            if self._reserved({"]]"}):
                self._take("]]")
                return Test(line, tuple(words))
            operator = self._operator()
            if operator in ("&&", "||", "(", ")", "<", ">"):
                self._at += len(operator)
                words.append((Literal(operator),))
            elif words and plain(words[-1]) == "=~":
                words.append(self._regular_expression())
            else:
                words.append(self._word())

    def _regular_expression(self) -> Word:
        start, depth = self._at, 0
        while self._at < len(self._text):
            character = self._text[self._at]
            if character in " \t\n" and not depth:
                break
            if character == "\\":
                self._at += 1
            elif character in "'\"":
                self._quoted_span(character)
                continue
            depth += {"(": 1, ")": -1}.get(character, 0)
            self._line += character == "\n"
            self._at += 1
        return (Opaque(self._text[start : self._at]),)

    def _quoted_span(self, quote: str) -> None:
        end = self._text.find(quote, self._at + 1)
        if end < 0:
            raise self._error(f"a {quote} has no end")
        self._line += self._text.count("\n", self._at, end)
        self._at = end + 1

    def _arithmetic_command(self) -> Node:
        """Two parentheses that are not closed by two are subshells."""
        start = self._at
        text = self._until_parentheses(2)
        if text is None:
            self._at = start + 1
            body = self._sequence({")"})
            self._at += 1
            return Subshell(body)
        return Arithmetic(text)

    def _until_parentheses(self, opened: int) -> str | None:
        """What is between `((` and `))`; the place stays where the last two do not stand together."""
        at, depth, start = self._at + opened, opened, self._at + opened
        while at < len(self._text):
            character = self._text[at]
            depth += {"(": 1, ")": -1}.get(character, 0)
            if character == "\\":
                at += 1
            if depth == 1 and not self._text.startswith("))", at):
                return None
            if depth == 1:
                self._line += self._text.count("\n", self._at, at)
                self._at = at + 2
                return self._text[start:at]
            at += 1
        return None

    def _simple(self) -> Node:
        line = self._line
        assignments: list[Assignment] = []
        words: list[Word | Assignment] = []
        seen = False
        while True:
            self._blanks()
            if self._redirection():
                seen = True
                continue
            if self._at >= len(self._text) or (self._peek() in _META and not self._process_substitution()):
                break
            match = _ASSIGNMENT.match(self._text, self._at)
            if match is not None and self._text.startswith("(", match.end()):
                array = self._array(match)
                (words or assignments).append(array)
            elif match is not None and not words:
                self._at = match.end()
                value = self._word(empty=True)
                assignments.append(
                    Assignment(match[1], value, None, bool(match[3]), (match[2] or "")[1:-1] or None)
                )
            else:
                words.append(self._word())
            seen = True
        if not seen:
            raise self._error(
                f"{self._peek()!r} is not expected here" if self._peek() else "a command is missing"
            )
        return Simple(line, tuple(assignments), tuple(words))

    def _array(self, match: re.Match[str]) -> Assignment:
        self._at = match.end() + 1
        elements: list[Word] = []
        while True:
            self._newlines()
            if self._peek() == ")":
                self._at += 1
                return Assignment(match[1], (), tuple(elements), bool(match[3]))
            if self._at >= len(self._text) or self._peek() in _META:
                raise self._error("an array has no end")
            elements.append(self._word())

    # Redirections

    def _redirections(self) -> None:
        self._blanks()
        while self._redirection():
            self._blanks()

    def _redirection(self) -> bool:
        """Takes one, if there is one here; its target executes nothing."""
        match = re.compile(r"(?:[0-9]+|\{[A-Za-z_][A-Za-z0-9_]*\})(?=[<>])").match(self._text, self._at)
        start = self._at
        if match is not None:
            self._at = match.end()
        operator = self._operator()
        if operator not in _REDIRECTIONS or (self._process_substitution() and match is None):
            self._at = start
            return False
        self._at += len(operator)
        self._blanks()
        if operator in ("<<", "<<-"):
            self._pending.append((self._delimiter(), operator == "<<-"))
            return True
        if self._peek() in _META and not self._process_substitution():
            raise self._error("a redirection has no target")
        self._word()
        return True

    def _process_substitution(self) -> bool:
        return self._text.startswith(("<(", ">("), self._at)

    def _delimiter(self) -> str:
        word = self._word()
        return "".join(part.text for part in word)

    def _here_documents(self) -> None:
        """Behind the newline that ends the line with `<<`."""
        for delimiter, stripped in self._pending:
            while self._at < len(self._text):
                end = self._text.find("\n", self._at)
                end = len(self._text) if end < 0 else end
                line = self._text[self._at : end]
                self._at = min(end + 1, len(self._text))
                self._line += 1
                if (line.lstrip("\t") if stripped else line) == delimiter:
                    break
        self._pending.clear()

    # Words

    def _word(self, *, empty: bool = False) -> Word:
        parts: list[Part] = []
        plain_text: list[str] = []

        def flush() -> None:
            if plain_text:
                parts.append(Literal("".join(plain_text)))
                plain_text.clear()

        if self._process_substitution():
            start = self._at
            self._at += 2
            self._sequence({")"})
            self._at += 1
            return (Opaque(self._text[start : self._at]),)
        while self._at < len(self._text):
            character = self._text[self._at]
            if character in _META:
                if character == "(" and plain_text and plain_text[-1] in "@!?*+":
                    raise self._error("extended patterns are not read")
                break
            if character in "\\'\"$`":
                if character == "$" and not self._expands():
                    plain_text.append("$")
                    self._at += 1
                    continue
                flush()
                parts.extend(self._special(character))
                continue
            plain_text.append(character)
            self._at += 1
        flush()
        if not parts and not empty:
            raise self._error("a word is missing")
        return tuple(parts)

    def _expands(self) -> bool:
        following = self._text[self._at + 1 : self._at + 2]
        return bool(following) and (following.isalnum() or following in "_{(@*#?-$!'\"")

    def _special(self, character: str) -> list[Part]:
        """A quoted piece, or an expansion outside quotes."""
        match character:
            case "\\":
                self._at += 2
                escaped = self._text[self._at - 1 : self._at]
                if escaped == "\n":
                    self._line += 1
                    return []
                return [Literal(escaped, quoted=True)]
            case "'":
                start = self._at + 1
                self._quoted_span("'")
                return [Literal(self._text[start : self._at - 1], quoted=True)]
            case '"':
                self._at += 1
                return self._double_quoted()
            case "`":
                return [self._backquoted(quoted=False)]
        return [self._dollar(quoted=False)]

    def _double_quoted(self) -> list[Part]:
        parts: list[Part] = []
        text: list[str] = []
        while True:
            if self._at >= len(self._text):
                raise self._error('a " has no end')
            character = self._text[self._at]
            if character == '"':
                self._at += 1
                break
            if character == "\\" and self._text[self._at + 1 : self._at + 2] in ("$", "`", '"', "\\", "\n"):
                following = self._text[self._at + 1]
                text.append("" if following == "\n" else following)
                self._line += following == "\n"
                self._at += 2
            elif character == "`" or (character == "$" and self._expands() and not self._at_quote()):
                if text:
                    parts.append(Literal("".join(text), quoted=True))
                    text.clear()
                parts.append(self._backquoted(quoted=True) if character == "`" else self._dollar(quoted=True))
            else:
                self._line += character == "\n"
                text.append(character)
                self._at += 1
        if text or not parts:
            parts.append(Literal("".join(text), quoted=True))
        return parts

    def _at_quote(self) -> bool:
        return self._text[self._at + 1 : self._at + 2] in ("'", '"')

    def _dollar(self, *, quoted: bool) -> Part:
        start = self._at
        self._at += 1
        character = self._text[self._at]
        if character == "{":
            return self._braced(quoted=quoted)
        if character == "(":
            return self._parenthesised(start, quoted=quoted)
        if character == "'":
            return Literal(self._ansi_c(), quoted=True)
        if character == '"':
            self._at += 1
            return Literal("".join(part.text for part in self._double_quoted()), quoted=True)
        match = _NAME.match(self._text, self._at)
        name = match[0] if match is not None else character
        self._at += len(name)
        return Parameter(name, quoted=quoted, text=f"${name}")

    def _parenthesised(self, start: int, *, quoted: bool) -> Part:
        if self._text.startswith("((", self._at) and self._until_parentheses(2) is not None:
            return Opaque(self._text[start : self._at], quoted=quoted)
        self._at += 1
        pending, self._pending = self._pending, []
        body = self._sequence({")"})
        self._at += 1
        self._pending = pending
        return Command(body, quoted=quoted, text=self._text[start : self._at])

    def _backquoted(self, *, quoted: bool) -> Part:
        start = self._at
        first_line = self._line
        inner: list[str] = []
        self._at += 1
        while True:
            if self._at >= len(self._text):
                raise self._error("a ` has no end")
            character = self._text[self._at]
            if character == "`":
                self._at += 1
                break
            if character == "\\" and self._text[self._at + 1 : self._at + 2] in (
                ("$", "`", "\\", '"') if quoted else ("$", "`", "\\")
            ):
                self._at += 1
                character = self._text[self._at]
            self._line += character == "\n"
            inner.append(character)
            self._at += 1
        self._enter()
        parser = Parser("".join(inner), first_line, self._depth)
        items = []
        while (node := parser.next()) is not None:
            items.append(node)
        self._depth -= 1
        return Command(Sequence(tuple(items)), quoted=quoted, text=self._text[start : self._at])

    def _ansi_c(self) -> str:
        """$'...'."""
        self._at += 1
        text: list[str] = []
        while self._at < len(self._text):
            character = self._text[self._at]
            self._at += 1
            if character == "'":
                return "".join(text)
            if character == "\\":
                following = self._text[self._at : self._at + 1]
                self._at += 1
                if following not in _ANSI_C:
                    raise self._error(f"$'...' with \\{following} is not read")
                character = _ANSI_C[following]
            self._line += character == "\n"
            text.append(character)
        raise self._error("a $' has no end")

    def _braced(self, *, quoted: bool) -> Part:
        """`${...}`."""
        start = self._at - 1
        self._at += 1
        operator = ""
        if self._peek() == "#" and self._text[self._at + 1 : self._at + 2] != "}":
            operator = "len"
            self._at += 1
        elif self._peek() == "!":
            operator = "!"
            self._at += 1
        match = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-]").match(self._text, self._at)
        if match is None:
            raise self._error("${ without a name")
        self._at = match.end()
        subscript = None
        if self._peek() == "[":
            end = self._text.find("]", self._at)
            if end < 0:
                raise self._error("a [ has no end")
            subscript = self._text[self._at + 1 : end]
            self._at = end + 1
        word: Word = ()
        if self._peek() == "*" and operator == "!":  # ${!prefix*}
            self._at += 1
            operator = "?"
        if self._peek() != "}":
            written = next(
                (one for one in _EXPANSION_OPERATORS if self._text.startswith(one, self._at)), None
            )
            if written is None:
                raise self._error(f"${{{match[0]}...}} with {self._peek()!r} is not read")
            self._at += len(written)
            in_quotes = quoted and written.lstrip(":") in ("-", "=", "?", "+")
            word = self._brace_word(quoted=in_quotes)
            operator = {"": written, "!": f"!{written}"}.get(operator, "?")
        if self._peek() != "}":
            raise self._error("a ${ has no end")
        self._at += 1
        return Parameter(match[0], operator, word, quoted, subscript, self._text[start : self._at])

    def _brace_word(self, *, quoted: bool) -> Word:
        """Up to the closing brace; within double quotes, single ones are ordinary characters."""
        self._enter()
        parts: list[Part] = []
        text: list[str] = []

        def flush() -> None:
            if text:
                parts.append(Literal("".join(text), quoted=quoted))
                text.clear()

        while self._at < len(self._text) and self._peek() != "}":
            character = self._text[self._at]
            special = character in '\\"`' or (character == "'" and not quoted)
            if special or (character == "$" and self._expands() and not (quoted and self._at_quote())):
                flush()
                if character == "$":
                    parts.append(self._dollar(quoted=quoted))
                elif character == "`":
                    parts.append(self._backquoted(quoted=quoted))
                else:
                    parts.extend(self._special(character))
                continue
            self._line += character == "\n"
            text.append(character)
            self._at += 1
        flush()
        self._depth -= 1
        return tuple(parts)

    # Characters

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _operator(self) -> str:
        """The operator that begins here; empty where there is none."""
        for operator in _OPERATORS:
            if self._text.startswith(operator, self._at):
                return operator
        character = self._peek()
        return character if character in _META and character not in (" ", "\t", "\n", "") else ""

    def _blanks(self) -> None:
        """Spaces, continued lines, and a comment."""
        while self._at < len(self._text):
            character = self._text[self._at]
            if character in " \t":
                self._at += 1
            elif self._text.startswith("\\\n", self._at):
                self._at += 2
                self._line += 1
            elif character == "#" and self._begins_word():
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            else:
                return

    def _begins_word(self) -> bool:
        return self._at == 0 or self._text[self._at - 1] in _META

    def _newlines(self) -> None:
        while True:
            self._blanks()
            if self._peek() != "\n":
                return
            self._at += 1
            self._line += 1
            if self._pending:
                self._here_documents()

    def _reserved_word(self) -> str:
        """The unquoted word that begins here, where it is complete."""
        match = re.compile(r"[!{}A-Za-z\[\]-]+").match(self._text, self._at)
        if match is None:
            return ""
        following = self._text[match.end() : match.end() + 1]
        return match[0] if not following or following in _META else ""

    def _reserved(self, words: Collection[str]) -> bool:
        return self._reserved_word() in words

    def _take(self, word: str) -> None:
        self._newlines() if word not in ("!", "time", "-p") else self._blanks()
        if self._reserved_word() != word:
            raise self._error(f"{word!r} is expected here")
        self._at += len(word)

    def _bare_word(self) -> str:
        text = plain(self._word())
        if text is None:
            raise self._error("a name is expected here")
        return text

    def _expect(self, character: str) -> None:
        self._blanks()
        if self._peek() != character:
            raise self._error(f"{character!r} is expected here")
        self._at += 1

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"commands are nested more than {MAX_DEPTH} deep")

    def _error(self, what: str) -> NotUnderstood:
        return NotUnderstood(self._line, what)
