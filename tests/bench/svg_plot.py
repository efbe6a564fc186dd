"""A plot with logarithmic axes as SVG, without any library: lines through (x, y) points, each with its name at its end."""

import html
import math

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 420, 80, 170, 40, 50
COLORS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#e377c2", "#17becf", "#7f7f7f", "#bcbd22")


def decades(values):
    """The powers of ten around them."""
    return math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))


def plot(title, x_name, y_name, lines):
    """`lines`: {name: [(x, y), ...]}, all above 0."""
    points = [point for line in lines.values() for point in line]
    low_x, high_x = decades([x for x, _ in points])
    low_y, high_y = decades([y for _, y in points])

    def across(x):
        return LEFT + (math.log10(x) - low_x) / max(high_x - low_x, 1) * (WIDTH - LEFT - RIGHT)

    def down(y):
        return HEIGHT - BOTTOM - (math.log10(y) - low_y) / max(high_y - low_y, 1) * (HEIGHT - TOP - BOTTOM)

    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">' % (WIDTH, HEIGHT),
           '<rect width="100%" height="100%" fill="white"/>',
           '<text x="%d" y="22" font-size="15">%s</text>' % (LEFT, html.escape(title))]
    for exponent in range(low_x, high_x + 1):
        x = across(10.0 ** exponent)
        out.append('<path d="M%.1f %d V%d" stroke="#ddd"/>' % (x, TOP, HEIGHT - BOTTOM))
        out.append('<text x="%.1f" y="%d" text-anchor="middle">%g</text>' % (x, HEIGHT - BOTTOM + 18, 10.0 ** exponent))
    for exponent in range(low_y, high_y + 1):
        y = down(10.0 ** exponent)
        out.append('<path d="M%d %.1f H%d" stroke="#ddd"/>' % (LEFT, y, WIDTH - RIGHT))
        out.append('<text x="%d" y="%.1f" text-anchor="end">%g</text>' % (LEFT - 8, y + 4, 10.0 ** exponent))
    out.append('<text x="%d" y="%d" text-anchor="middle">%s</text>' % ((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, html.escape(x_name)))
    out.append('<text transform="translate(18 %d) rotate(-90)" text-anchor="middle">%s</text>' % (HEIGHT / 2, html.escape(y_name)))
    taken = []
    for number, (name, line) in enumerate(lines.items()):
        color = COLORS[number % len(COLORS)]
        line = sorted(line)
        path = " ".join("%s%.1f %.1f" % ("L" if i else "M", across(x), down(y)) for i, (x, y) in enumerate(line))
        out.append('<path d="%s" fill="none" stroke="%s" stroke-width="2"/>' % (path, color))
        out.extend('<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>' % (across(x), down(y), color) for x, y in line)
        label = down(line[-1][1]) + 4
        while any(abs(label - other) < 14 for other in taken):
            label += 14
        taken.append(label)
        out.append('<text x="%.1f" y="%.1f" fill="%s">%s</text>' % (across(line[-1][0]) + 8, label, color, html.escape(name)))
    return "\n".join([*out, "</svg>", ""])
