"""docs/performance.md and its picture, made from the figures of `python -m benchmarks`."""
import html
from collections.abc import Mapping, Sequence
from typing import Any

_HEAD = """# Performance

Made by `python -m benchmarks`. Medians of rounds in which the programs took turns, and the highest resident memory.
What occystrap writes is verified (fast); 0.4.17 verifies, too, but for unpacking and daemons, where it cannot; the
others verify nothing. The two images are written to memory (tmpfs), ours with `--no-sync`; skopeo flushes what it
writes, which costs little there. **Limit** is what nothing that starts as occystrap does can go below with two cores,
at the same sizes: its start, and half of the time that the transfer, the hashes, inflating and deflating of the fastest
libraries that we know, and writing take by themselves, but at least the longest of these steps (other than deflating,
which can be split) for the largest layer, measured on the same machine. The raw figures are in
`benchmarks/performance.json`. Jobs of one table may come from several runs, between which the speed of the machine
changed: compare programs at one job, not seconds of two jobs.

![Wall time of each job, as a multiple of that of occystrap](performance.svg)
"""
_MEASURED = 'Measured on {dates}, {rounds} rounds, skopeo {skopeo}: {machine}.\n\n'
_COLUMNS = '| job | program | wall s | CPU s | resident MB | wall, as a multiple of ours | limit s |\n' \
           '| --- | --- | --- | --- | --- | --- | --- |\n'
_COLOURS = {'occystrap': '#00695c', 'skopeo': '#78909c', 'skopeo and umoci': '#78909c', '0.4.17': '#bcaaa4'}
_ROW, _LEFT, _WIDTH, _MOST = 16, 330, 760, 6.0


def page(figures: Mapping[str, Any]) -> str:
    """Return the page of Markdown."""
    parts = [_HEAD]
    for part in figures.values():
        for section in part['sections']:
            title, jobs = section['title'], section['jobs']
            parts += [f'\n## {title[0].upper()}{title[1:]}\n\n', _MEASURED.format(
                **{**part, 'dates': _range({each['date'] for each in jobs}), 'rounds': _range(
                    {str(len(taken)) for each in jobs for taken in each['rounds'].values()})}), _COLUMNS,
                      *(_rows(job) for job in jobs)]
    return ''.join(parts)


def _range(values: set[str]) -> str:
    found = sorted(values, key=lambda each: (len(each), each))
    return found[0] if len(found) == 1 else f'{found[0]} to {found[-1]}'


def _rows(job: Mapping[str, Any]) -> str:
    ours = job['programs'][0]
    lines = []
    for place, each in enumerate(job['programs']):
        limit = f'{job["limit"]:.2f} ({ours["wall"] / job["limit"]:.2f} ×)' if job['limit'] and not place else ''
        ratio = f'{each["wall"] / ours["wall"]:.2f}' if place else ''
        cells = ['' if place else job['name'], each['name'], f'{each["wall"]:.2f}', f'{each["cpu"]:.2f}',
                 f'{each["resident"]:.0f}', ratio, limit]
        lines.append(f'| {" | ".join(cells)} |\n')
    return ''.join(lines)


def picture(section: Mapping[str, Any]) -> str:
    """Return the picture of a section as SVG: a bar for each program of each job."""
    drawn: list[str] = []
    top = 10
    for job in section['jobs']:
        top = _draw(job['name'], job['programs'], top, drawn)
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" font-family="sans-serif" '
            f'font-size="12">\n<rect width="{_WIDTH}" height="{top}" fill="white"/>')
    return '\n'.join([head, *drawn, '</svg>', ''])


def _draw(name: str, programs: Sequence[Mapping[str, Any]], top: int, drawn: list[str]) -> int:
    """Draw the bars of a job from `top` on; return where the next begins."""
    ours, unit = programs[0]['wall'], (_WIDTH - _LEFT - 60) / _MOST
    drawn.append(f'<text x="8" y="{top + 12}" font-weight="bold">{html.escape(name)}</text>')
    for each in programs:
        ratio = each['wall'] / ours
        drawn.append(f'<text x="{_LEFT - 8}" y="{top + 12}" text-anchor="end">{html.escape(each["name"])}</text>'
                     f'<rect x="{_LEFT}" y="{top + 2}" width="{min(ratio, _MOST) * unit:.0f}" height="{_ROW - 4}" '
                     f'fill="{_COLOURS[each["name"]]}"/>'
                     f'<text x="{_LEFT + min(ratio, _MOST) * unit + 6:.0f}" y="{top + 12}">{ratio:.2f} ×</text>')
        top += _ROW
    return top + 8
