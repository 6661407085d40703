# tools/bench_report.py -- what tools/bench writes: tables, a comparison with others, and a roofline.
import json
import math
from xml.sax.saxutils import escape

SINKHORN_ITERATIONS = 20
SHAPE = ("op", "tokens", "hidden_dim", "n_streams", "dtype")


def flop_of_token(op, n, C):
    """Operations of one token, a multiply-add counted as two; None: not counted here."""
    m = n * n + 2 * n
    apply_mix, post, norm = 2 * n * C, C * (n + 2 * n * n), 4 * C
    sinkhorn = SINKHORN_ITERATIONS * 4 * n * n
    coefficients = 4 * m + sinkhorn

    def project(rows):
        return 2 * n * C * (rows + 1)

    pre = project(m) + coefficients + apply_mix
    return {"post_fwd": post, "apply_mix_fwd": apply_mix, "rmsnorm_fwd": norm, "sinkhorn_fwd": sinkhorn, "pre_project_fwd": project(m),
            "split_mixes_fwd": 4 * m, "coeffs_fwd": coefficients, "pre_big_fuse": coefficients + apply_mix, "pre_fwd": pre,
            "broadcast_pre_fwd": pre, "delayed_pre_fwd": pre, "post_pre_fwd": post + pre, "head_fwd": project(n) + 4 * n + apply_mix,
            "post_head_fwd": post + project(n) + 4 * n + apply_mix, "static_layer_fwd": apply_mix + norm + post,
            "dynamic_layer_fwd": project(m) + coefficients + apply_mix + norm + post}.get(op)


def intensity(row):
    flop = flop_of_token(row["op"], row["n_streams"], row["hidden_dim"])
    return None if flop is None else flop * row["tokens"] / row["ideal_bytes"]


def read_peers(path):
    """Rows of a peers file, or what is wrong with it in one line."""
    try:
        with open(path) as file:
            rows = json.load(file)
    except OSError as error:
        return [], error.strerror
    except ValueError as error:
        return [], f"is no JSON ({error})"
    rows = rows.get("rows") if isinstance(rows, dict) else rows
    if not isinstance(rows, list):
        return [], 'allowed is {"rows": [...]}'
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            return [], f"row {i + 1} is no object"
        for field, kinds in (("name", str), ("op", str), ("tokens", int), ("hidden_dim", int), ("n_streams", int), ("dtype", str),
                             ("us", (int, float))):
            if not isinstance(row.get(field), kinds) or isinstance(row.get(field), bool):
                return [], f"row {i + 1}: {field} = {json.dumps(row.get(field))}: allowed is {'text' if kinds is str else 'a number'}"
        for field in ("us", "floor_us"):
            value = row.get(field)
            if value is not None and not (isinstance(value, (int, float)) and value > 0):
                return [], f"row {i + 1}: {field} = {json.dumps(value)}: allowed is a number above 0"
    return rows, ""


def compare(report, peers):
    """Gives rows `peer`: the best of those with the same operator and shape."""
    by_shape = {}
    for peer in peers:
        by_shape.setdefault(tuple(peer[field] for field in SHAPE), []).append(peer)
    report["peers"] = peers
    for row in report["rows"]:
        best = None
        for peer in by_shape.get(tuple(row[field] for field in SHAPE), []):
            by_floor = peer.get("floor_us") is not None
            ours, theirs = (row["ratio_to_floor"], peer["us"] / peer["floor_us"]) if by_floor else (row["median_us"], peer["us"])
            if best is None or theirs / ours < best["theirs_by_ours"]:
                best = {"name": peer["name"], "us": peer["us"], "floor_us": peer.get("floor_us"),
                        "compared_by": "ratio to the floor" if by_floor else "time", "theirs_by_ours": theirs / ours, "lost": theirs < ours}
        row["peer"] = best


def cell(row):
    lost = " **lost**" if row["peer"] and row["peer"]["lost"] else ""
    return (f"{row['median_us']:.2f} / {row['floor_us']:.2f} = {row['ratio_to_floor']:.2f}, "
            f"{100 * row['share_of_copy']:.0f} %{lost}")


def shape_text(row):
    plain = row["n_streams"] == 4 and row["dtype"] == "bf16"
    return f"{row['tokens']} x {row['hidden_dim']}" + ("" if plain else f", n = {row['n_streams']}, {row['dtype']}")


def table(head, rows):
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]


def parts(report):
    names = []
    for row in report["rows"]:
        if row["part"] not in names:
            names.append(row["part"])
    return [(name, [row for row in report["rows"] if row["part"] == name]) for name in names]


def command_of_part(report, name):
    """The commands of a part as one, where each operator had its own."""
    commands = [entry["command"] for entry in report["commands"] if entry["part"] == name]
    ops = [command.split("--op ")[1].split(" ")[0] for command in commands if "--op " in command]
    return commands[0].replace(f"--op {ops[0]}", f"--op {','.join(ops)}", 1) if ops else commands[0]


def peers_table(report):
    rows = [row for row in report["rows"] if row["peer"]]
    if not rows:
        return []
    lines = []
    for row in rows:
        peer = row["peer"]
        by_floor = peer["floor_us"] is not None
        ours = f"{row['median_us']:.2f}" + (f", {row['ratio_to_floor']:.2f} floors" if by_floor else "")
        theirs = f"{peer['us']:.2f}" + (f", {peer['us'] / peer['floor_us']:.2f} floors" if by_floor else "")
        times = peer["theirs_by_ours"]
        verdict = f"**lost by {100 * (1 / times - 1):.0f} %**" if peer["lost"] else f"{times:.2f} x as fast"
        lines.append([f"`{row['op']}`", shape_text(row), ours, theirs, peer["name"], verdict])
    lost = sum(row["peer"]["lost"] for row in rows)
    return ["", f"### Beside others: {len(rows) - lost} ahead, {lost} lost", "",
            "The best peer of each row. Where a peer has a floor of its own run, ratios to the floor are compared, else times.", "",
            *table(["operator", "shape", "ours, us", "theirs, us", "peer", "we are"], lines)]


def markdown(report):
    copies = [row["copy_gbps"] for row in report["rows"]]
    lines = [f"## {report['device']}, {report['date'][:10]}", "",
             f"`{report['command']}`, {report['seconds']:.0f} s, mhc-jit {report['version']}, target {report['target']}; copy "
             f"{min(copies):.0f} to {max(copies):.0f} GB/s, read and written, measured beside each operator.", "",
             "Each entry: median us / floor us = ratio, share of copy (tokens x hidden_dim, n = 4, bf16 where nothing else is said)."]
    for name, rows in parts(report):
        ops = list(dict.fromkeys(row["op"] for row in rows))
        shapes = list(dict.fromkeys(shape_text(row) for row in rows))
        by_place = {(row["op"], shape_text(row)): row for row in rows}
        body = [[f"`{op}`", *(cell(by_place[op, shape]) if (op, shape) in by_place else "" for shape in shapes)] for op in ops]
        lines += ["", f"### {name[0].upper() + name[1:]}", "", f"`{command_of_part(report, name)}`", "", *table(["operator", *shapes], body)]
    lines += peers_table(report)
    if report["first_use"]:
        uses = [[f"`{use['op']}`", f"{use['hidden_dim']}", f"{use['kernels']}", f"{use['empty_ms']:.0f} ms", f"{use['full_ms']:.2f} ms"]
                for use in report["first_use"]]
        lines += ["", "### First use of an engine", "", *table(["operator", "C", "kernels", "empty cache", "full cache"], uses)]
    if report["not_run"]:
        lines += ["", "### Not run", ""] + [f"- `{entry['command']}`: {entry['why']}" for entry in report["not_run"]]
    return "\n".join(lines) + "\n"


COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#e377c2", "#7f7f7f", "#bcbd22")
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 900, 560, 70, 60, 210, 90


class axes:
    """FLOP a byte, logarithmic, from left to right; GB/s from bottom to top."""

    def __init__(self, rows, roof):
        values = [row["flop_per_byte"] for row in rows] or [1.0]
        self.low, self.high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)) + 1e-9)
        self.high = max(self.high, self.low + 1)
        self.top = 1.1 * max([roof] + [rate for row in rows for rate in (row["gbps"], floor_rate(row))])

    def x(self, value):
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(value) - self.low) / (self.high - self.low)

    def y(self, value):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / self.top


def floor_rate(row):
    return row["ideal_bytes"] / row["floor_us"] / 1e3


def text(x, y, words, size=12, anchor="start", extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"{extra}>{escape(words)}</text>'


def line(x1, y1, x2, y2, colour, extra=""):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{extra}/>'


def shortened(words, most):
    return words if len(words) <= most else words[:most - 3] + "..."


def frame(scale):
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    made = [line(LEFT, bottom, right, bottom, "#333"), line(LEFT, TOP, LEFT, bottom, "#333")]
    for power in range(scale.low, scale.high + 1):
        x = scale.x(10.0 ** power)
        made += [line(x, bottom, x, bottom + 5, "#333"), text(x, bottom + 18, f"{10.0 ** power:g}", anchor="middle")]
    step = 10 ** math.floor(math.log10(scale.top))
    step = step / 5 if scale.top / step < 2 else step / 2 if scale.top / step < 5 else step
    for i in range(int(scale.top / step) + 1):
        y = scale.y(i * step)
        made += [line(LEFT - 5, y, LEFT, y, "#333"), text(LEFT - 8, y + 4, f"{i * step:g}", anchor="end")]
    return made + [text((LEFT + right) / 2, bottom + 36, "FLOP a byte of ideal traffic", anchor="middle"),
                   text(18, (TOP + bottom) / 2, "GB/s of ideal traffic", anchor="middle", extra=f' transform="rotate(-90 18 {(TOP + bottom) / 2:.1f})"')]


def svg(report):
    """One point an operator and shape; operators without arithmetic, and gradients, whose FLOP are not counted, are left out."""
    rows = [row for row in report["rows"] if row["flop_per_byte"]]
    roof = max(row["copy_gbps"] for row in report["rows"])
    scale = axes(rows, roof)
    made = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
            text(LEFT, 24, f"{report['device']}, {report['date'][:10]}", 16),
            text(LEFT, 44, shortened(report["command"], 130), 11), *frame(scale),
            line(LEFT, scale.y(roof), WIDTH - RIGHT, scale.y(roof), "#333", ' stroke-dasharray="6 3"'),
            text(LEFT + 6, scale.y(roof) - 5, f"copy, {roof:.0f} GB/s, of the same run")]
    ops = list(dict.fromkeys(row["op"] for row in rows))
    for i, op in enumerate(ops):
        colour = COLOURS[i % len(COLOURS)]
        made += [f'<circle cx="{WIDTH - RIGHT + 20}" cy="{TOP + 18 * i}" r="4" fill="{colour}"/>',
                 text(WIDTH - RIGHT + 30, TOP + 18 * i + 4, op)]
        for row in (row for row in rows if row["op"] == op):
            x, y = scale.x(row["flop_per_byte"]), scale.y(row["gbps"])
            words = f"{op} {shape_text(row)}: {row['gbps']:.0f} GB/s, {row['ratio_to_floor']:.2f} x floor"
            made += [line(x, y, x, scale.y(floor_rate(row)), colour, ' stroke-opacity="0.4"'),
                     f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"><title>{escape(words)}</title></circle>']
    made += [text(LEFT, HEIGHT - 30, "Roof: the fastest large copy of the run. A line ends at the rate of the point's floor kernel, of the same rows.", 11),
             text(LEFT, HEIGHT - 14, "No roof of arithmetic was measured. Not shown: operators without arithmetic, and gradients, whose FLOP are not counted.", 11),
             "</svg>"]
    return "\n".join(made) + "\n"
