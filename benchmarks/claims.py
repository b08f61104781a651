"""What is compared with what, suite by suite; the aims are those of the issues that asked for the models."""

from __future__ import annotations

from benchmarks.comparisons import Comparison

DOPRI5, MATCHING = "flowsuite, dopri5 adjoint", "flowsuite, flow matching"
TORCHDIFFEQ, ZUKO = "torchdiffeq FFJORD, Hutchinson", "zuko CNF"
PUBLIC_POINTFLOW = "public code's strategy (torchdiffeq)"
DENSE, ONE_BY_ONE = "dense copies (the public code's strategy)", "one molecule at a time, RDKit in the loop"
SAME = "flowsuite, same network, "
IMAGE_AIMS = {"train step": 1 / 0.6, "log_prob": None, "sample": 1 / 0.5}


def images() -> list[Comparison]:
    found = []
    for size in ("32x32x3, L3 K8 width 128, batch 8", "16x16x3, L2 K4 width 64, batch 16"):
        for column, aim in IMAGE_AIMS.items():
            for who in ("flowsuite", "flowsuite, compiled"):
                for peer in ("normflows", "nflows"):
                    found.append(
                        Comparison(
                            f"Glow {size[:5]}, {column}", size, f"{column}, ms", (who,), (peer,), aim=aim,
                            limit=("coupling nets alone", ("coupling nets alone",), f"{column}, ms"),
                            headline=size.startswith("32") and aim is not None,
                        )
                    )  # fmt: skip
    for depth in (8, 32, 128):
        row, what = (depth,), f"memory of a Glow's training step, K = {depth}"
        found.append(Comparison(what, "Memory", "reversible, kept", row, row, peer_column="plain, kept"))
    return found


def cnf() -> list[Comparison]:
    found = []
    grid = ("flowsuite, RK4 x 4", "flowsuite, RK4 x 4, compiled")
    for toy in ("8gaussians", "2spirals"):
        for who, aim in ((MATCHING, 10), (grid[1], 5), (grid[0], 5), (DOPRI5, None)):
            found.append(
                Comparison(
                    f"FFJORD on {toy}, training until the peer's best likelihood", f"{toy}, batch", "time to", (who,),
                    (TORCHDIFFEQ,), stated="speed-up", aim=aim, headline=toy == "8gaussians" and aim is not None,
                )
            )  # fmt: skip
    for warm_up in (300, 0):
        for column in ("train step", "sample"):
            for who in (MATCHING, *reversed(grid), DOPRI5):
                for peer in (TORCHDIFFEQ, ZUKO):
                    table = f"2-D, (64, 64, 64) tanh concat-squash, batch 100, after {warm_up} iterations"
                    what = f"FFJORD in the plane, {column}, after {warm_up} iterations"
                    found.append(Comparison(what, table, f"{column}, ms", (who,), (peer,)))
    return found


def pointclouds() -> list[Comparison]:
    found = []
    ours = ("flowsuite, RK4 x 2", "flowsuite, RK4 x 2, compiled", MATCHING, DOPRI5)
    for column, aim in (("step 4 x 512", 4), ("step 2 x 2048", None), ("sample 4 x 2048", 3)):
        for who in ours:
            found.append(
                Comparison(
                    f"PointFlow, {column} points", "PointFlow at its published widths", f"{column}, s", (who,),
                    (PUBLIC_POINTFLOW,), stated=f"{column}, speed-up", aim=aim if "RK4" in who else None,
                    headline=column == "step 4 x 512" and "RK4" in who,
                )
            )  # fmt: skip
    for who in ours:
        aim = {MATCHING: 10, DOPRI5: None}.get(who, 5)
        what = "PointFlow, training until the peer's best bound"
        found.append(
            Comparison(what, "Made chairs", "time to", (who,), (PUBLIC_POINTFLOW,), stated="speed-up", aim=aim)
        )
    return found


def pointcloud_metrics() -> list[Comparison]:
    plain = ("plain torch, B x N x M",)
    found = [
        Comparison(
            "Chamfer distance of 2048 points", "CD of a pair", "a pair, ms", (f"flowsuite {name}",), plain,
            stated="speed-up", aim=10,
        )
        for name in ("chamfer", "pairwise_chamfer", "pairwise_chamfer, symmetric")
    ]  # fmt: skip
    for clouds in ("40 generated and 40 reference clouds of 256", "12 generated and 12 reference clouds of 1024"):
        for ours in ("pruned, MMD + COV + 1-NNA", "pruned, MMD + COV"):
            what = "nearest neighbours by exact EMD"
            found.append(Comparison(what, clouds, "time, s", (ours,), ("full matrices",)))
    return found


def molecules() -> list[Comparison]:
    found = []
    training = (f"{SAME}real decisions", f"{SAME}every padded decision", "flowsuite, GINE + categorical")
    for size, aim in (("ZINC250k size", 12), ("QM9 size", None)):
        for who in training:
            found.append(
                Comparison(
                    f"GraphAF, training step, {size}", f"{size} (", "train step, ms", (who,), (DENSE,),
                    stated="speed-up", aim=aim if SAME in who else None, headline=bool(aim) and SAME in who,
                )
            )  # fmt: skip
        for who in training:
            what = f"GraphAF, memory of a training step, {size}"
            found.append(Comparison(what, f"{size} (", "peak memory", (who,), (DENSE,), stated="times less memory"))
        for who in (f"{SAME}256 in lock-step", "flowsuite, GINE + categorical"):
            found.append(
                Comparison(
                    f"GraphAF, sampling, {size}", f"{size}, sampling", "rate", (who,), (ONE_BY_ONE,),
                    stated="speed-up", more=True, aim=50 if SAME in who else None,
                )
            )  # fmt: skip
    return found


def audio() -> list[Comparison]:
    published, found = ("h=16 C=64", "1 s"), []
    peers = {"public reverse": 15, "public reverse_fast": 3, "public reverse_fast, weight norm removed": 3}
    for peer, aim in (peers | {"ours, no cache": None}).items():
        row = (*published, "ours, cached")
        found.append(
            Comparison(
                "WaveFlow h=16 C=64, synthesis of 1 s", "Synthesis", "time, s", row, (*published, peer),
                peer_states="times ours", aim=aim,
                limit=("compute", row, "compute limit"), headline=aim is not None,
            )
        )  # fmt: skip
    for name in ("h=16 C=64", "h=8 C=64", "h=16 C=128"):
        for who in ("ours", "ours, compiled"):
            what = f"WaveFlow {name}, training step of 16,000 samples"
            rows = (name, who), (name, "public strategy")
            stated = "times ours" if who == "ours" else ""
            found.append(Comparison(what, "Training step", "time, ms", *rows, peer_states=stated, aim=1.5))
    return found


def video() -> list[Comparison]:
    found = []
    for name in ("4 steps, width 64", "8 steps, width 128", "published"):
        for who, aim in (("ours, clips of 13", 3), ("ours, causal prior", None), ("ours, windows of 4", None)):
            found.append(
                Comparison(
                    f"VideoFlow, {name}, training, a scored frame", "Training step", "per scored frame", (name, who),
                    (name, "public strategy"), stated="speed-up", aim=aim,
                    headline=aim is not None and name == "4 steps, width 64",
                )
            )  # fmt: skip
        for who, aim in (("ours, published prior", 1.5), ("ours, causal prior", 4)):
            found.append(
                Comparison(
                    f"VideoFlow, {name}, sampling 10 frames x 16", "Sampling", "time", (name, who),
                    (name, "public strategy"), stated="speed-up", aim=aim,
                )
            )  # fmt: skip
    for prior in ("window", "causal"):
        for depth in (2, 8, 32):
            what = f"memory of a VideoFlow's training step, {prior} prior, depth {depth}"
            found.append(Comparison(what, "Memory", f"{prior}, reversible", (depth,), (depth,), f"{prior}, plain"))
    return found


def variational() -> list[Comparison]:
    found = []
    peers = {"planar": "normflows", "radial": "normflows", "affine": "zuko", "spline": "zuko"}
    for kind, peer in peers.items():
        for batch in (256, 1024):
            for who in ("ours", "ours, compiled")[: 1 if kind == "spline" else 2]:
                flow = f"{kind}, batch {batch}"
                found.append(
                    Comparison(
                        f"fitting step, {flow}, K = 32", "Fitting step", "time, ms", (flow, who), (flow, peer), aim=2,
                        headline=(kind, batch) == ("planar", 256),
                    )
                )  # fmt: skip
    for target in ("U1", "U2", "U3", "U4"):
        for flow, peer in (("planar, K = 32", "normflows"), ("radial, K = 32", "normflows"), ("spline, K = 4", "zuko")):
            rows = (target, flow, "ours"), (target, flow, peer)
            what = f"divergence from {target} at equal time, {flow}"
            found.append(Comparison(what, "KL(q||p)", "KL(q||p)", *rows, difference=True, aim=0))
    return found


CLAIMS = {
    "images": images,
    "cnf": cnf,
    "pointclouds": pointclouds,
    "pointcloud-metrics": pointcloud_metrics,
    "molecules": molecules,
    "audio": audio,
    "video": video,
    "variational": variational,
}
