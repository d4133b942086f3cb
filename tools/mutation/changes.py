"""The changes that make mutants, and the sample that is drawn of them."""
import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
COMPARISONS: dict[type[ast.cmpop], list[str]] = {
    ast.Eq: ['!='], ast.NotEq: ['=='], ast.Lt: ['<=', '>='], ast.LtE: ['<', '>'], ast.Gt: ['>=', '<='],
    ast.GtE: ['>', '<'], ast.Is: ['is not'], ast.IsNot: ['is'], ast.In: ['not in'], ast.NotIn: ['in']}
ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ('+', '-'), ast.Sub: ('-', '+'), ast.Mult: ('*', '//'), ast.Div: ('/', '*'), ast.FloorDiv: ('//', '*'),
    ast.Mod: ('%', '//'), ast.LShift: ('<<', '>>'), ast.RShift: ('>>', '<<'), ast.BitAnd: ('&', '|'),
    ast.BitOr: ('|', '&'), ast.Pow: ('**', '*')}


@dataclass(frozen=True)
class Mutant:
    """One change: in `file`, the bytes from `start` to `end` become `text`; `name` says so, whatever the line."""

    file: str
    name: str
    line: int
    start: int
    end: int
    text: str

    @property
    def key(self) -> str:
        """What a log knows it by."""
        return f'{self.file} {self.name}'

    def applied(self, source: bytes) -> bytes:
        """Return the source with the change."""
        return source[:self.start] + self.text.encode() + source[self.end:]


class Changes(ast.NodeVisitor):
    """Finds each place of a file where a change can be made: `found` has what, where and the new text."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._scope: list[str] = []
        self.found: list[tuple[str, int, int, str]] = []

    def visit(self, node: ast.AST) -> None:
        """Look at a node, and at those within, but for text and annotations."""
        if isinstance(node, ast.JoinedStr):
            return
        named = isinstance(node, (ast.FunctionDef, ast.ClassDef))
        if named:
            self._scope.append(node.name)  # type: ignore[attr-defined]
        super().visit(node)
        if named:
            self._scope.pop()

    def generic_visit(self, node: ast.AST) -> None:
        """Look at the nodes within, but for annotations."""
        for name, value in ast.iter_fields(node):
            if name in ('annotation', 'returns', 'decorator_list', 'bases'):
                continue
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, ast.AST):
                    self.visit(each)

    def visit_Compare(self, node: ast.Compare) -> None:
        """Exchange each comparison."""
        left = node.left
        for operator, right in zip(node.ops, node.comparators, strict=True):
            for text in COMPARISONS[type(operator)]:
                self._between(left, right, 'comparison', text)
            left = right
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """Exchange `and` and `or`, one at a time."""
        for left, right in zip(node.values, node.values[1:]):
            self._between(left, right, 'and/or', 'or' if isinstance(node.op, ast.And) else 'and')
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Exchange an arithmetic operator, but not that of a union of types or the % of a text."""
        if not any(map(_is_type_or_text, (node.left, node.right))):
            self._between(node.left, node.right, 'arithmetic', ARITHMETIC[type(node.op)][1])
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """Exchange the operator, or leave the statement out."""
        sign, other = ARITHMETIC[type(node.op)]
        self._between(node.target, node.value, 'arithmetic', f'{other}=')
        self._replace(node, 'left out', 'pass')
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """Leave `not` or a sign out."""
        self._replace(node, 'not or sign left out', f'({self._text(node.operand)})')
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Exchange True and False, and move numbers by one."""
        if isinstance(node.value, bool):
            self._replace(node, 'constant', str(not node.value))
        elif isinstance(node.value, (int, float)):
            for step in ('+', '-'):
                self._replace(node, 'constant', f'({self._text(node)} {step} 1)')

    def visit_If(self, node: ast.If) -> None:
        """Turn the condition round."""
        if self._text(node.test) != 'TYPE_CHECKING':
            self._turn(node.test)
            self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        """Turn the condition round."""
        self._turn(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        """Turn the condition round."""
        self._turn(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        """Turn its conditions round."""
        for test in node.ifs:
            self._turn(test)
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        """Return None."""
        if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            self._replace(node.value, 'return None', 'None')
        self.generic_visit(node)

    def visit_Break(self, node: ast.Break) -> None:
        """Exchange."""
        self._replace(node, 'break/continue', 'continue')

    def visit_Continue(self, node: ast.Continue) -> None:
        """Exchange."""
        self._replace(node, 'break/continue', 'break')

    def visit_Expr(self, node: ast.Expr) -> None:
        """Leave a call out."""
        if isinstance(node.value, ast.Call):
            self._replace(node, 'left out', 'pass')
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        """Leave it out."""
        self._replace(node, 'left out', 'pass')
        self.generic_visit(node)

    def visit_Delete(self, node: ast.Delete) -> None:
        """Leave it out."""
        self._replace(node, 'left out', 'pass')

    def _turn(self, test: ast.expr) -> None:
        if not isinstance(test, (ast.Compare, ast.UnaryOp)):
            self._replace(test, 'condition', f'(not ({self._text(test)}))')

    def _between(self, left: ast.expr, right: ast.expr, kind: str, text: str) -> None:
        """Replace the operator between two nodes, leaving brackets and line breaks around it."""
        start, end = self._span(left)[1], self._span(right)[0]
        gap = self._source[start:end].decode()
        bare = gap.strip('() \n\\')
        if bare and '#' not in gap:
            at = start + len(gap[:gap.index(bare)].encode())
            self._add(kind, at, at + len(bare.encode()), text)

    def _replace(self, node: ast.expr | ast.stmt, kind: str, text: str) -> None:
        self._add(kind, *self._span(node), text)

    def _add(self, kind: str, start: int, end: int, text: str) -> None:
        before = self._source[start:end].decode()
        self.found.append((f'{".".join(self._scope)}: {kind}: {before!r} -> {text!r}', start, end, text))

    def _text(self, node: ast.expr) -> str:
        start, end = self._span(node)
        return self._source[start:end].decode()

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self._starts[node.lineno - 1] + node.col_offset, self._starts[node.end_lineno - 1] + node.end_col_offset


def _is_type_or_text(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return node.value is None or isinstance(node.value, (str, bytes))
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Name) and node.id[:1].isupper() and
                                               not node.id.isupper())


def mutants_of(file: str) -> Iterator[Mutant]:
    """Give each mutant of a file; of several with one name, each gets its number."""
    source = (ROOT / file).read_bytes()
    changes = Changes(source)
    changes.visit(ast.parse(source))
    seen: dict[str, int] = {}
    for name, start, end, text in changes.found:
        seen[name] = seen.get(name, 0) + 1
        yield Mutant(file, f'{name} #{seen[name]}', source.count(b'\n', 0, start) + 1, start, end, text)


def _compiles(mutant: Mutant) -> bool:
    try:
        compile(mutant.applied((ROOT / mutant.file).read_bytes()), 'mutant', 'exec')
    except SyntaxError:
        return False
    return True


def draw(seed: int, count: int, rooms: Iterable[str], words: list[str]) -> list[Mutant]:
    """Return the mutants of the sample, in an order as random as the choice."""
    files = source_files(rooms)
    chosen = [file for file in files if not words or any(word in file for word in words)]
    every = [mutant for file in chosen for mutant in mutants_of(file)]
    every.sort(key=lambda each: hashlib.sha256(f'{seed} {each.key}'.encode()).digest())
    print(f'{min(count, len(every))} of {len(every)} mutants in {len(chosen)} files', flush=True)
    return list(islice(filter(_compiles, every), count))


def source_files(rooms: Iterable[str]) -> list[str]:
    """Return the files of the rooms, each of which is a file or a directory without those below, sorted."""
    found = [[ROOT / room] if room.endswith('.py') else (ROOT / room).glob('*.py') for room in rooms]
    return sorted(str(path.relative_to(ROOT)) for paths in found for path in paths)


def statement_lines(mutant: Mutant) -> range | None:
    """Return the lines of the innermost statement around a mutant, without its body; None if importing runs it."""
    tree = ast.parse((ROOT / mutant.file).read_bytes())
    first, last = mutant.line, mutant.line + mutant.applied(b'').count(b'\n')
    found: range | None = None
    functions: list[ast.AST] = [each for each in ast.walk(tree)
                                if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))]
    for function in functions:
        for node in ast.walk(function):
            if isinstance(node, ast.stmt) and node is not function and node.lineno <= first:
                lines = _own_lines(node)
                if last < lines.stop and (found is None or len(lines) <= len(found)):
                    found = lines
    return found


def _own_lines(node: ast.stmt) -> range:
    body = getattr(node, 'body', None)
    end = body[0].lineno - 1 if body else node.end_lineno
    return range(node.lineno, max(node.lineno, end or 0) + 1)
