"""How the benchmarks write figures and verdicts."""


def number(v):
    if isinstance(v, str):
        return v
    if v >= 1000:
        return "{:,.0f}".format(v)
    return "%.3g" % v


def verdict(text, met):
    return "%s: %s" % (text, "met" if met else "missed")
