"""A registry that changes as fast as an engine keeps it, and says what may be acknowledged: `keeper.py ENGINE ROUND`. Killed by the test."""

import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples/registry-asgi"))
import stores

url, turn = sys.argv[1:]
engine = stores.engine(url)
registry = engine.recover()
chance = random.Random(int(turn))
for step in range(1_000_000):
    ids = [f"i{chance.randrange(40)}" for _ in range(chance.choice((1, 1, 3)))]
    told = []
    for own in ids:
        if chance.random() < 0.3 and registry.lookup("web", own):
            registry.deregister("web", own)
            told.append(f"{own} gone")
        else:
            # What is large is written in more than one piece.
            mark = f"{turn}.{step}"
            registry.register("web", own, metadata={"mark": mark, "text": "x" * chance.choice((0, 0, 500))}, ttl=86_400)
            told.append(f"{own} {mark}")
    # Whatever is asked for now may be there afterwards or not.
    print("try", *told, sep="\t", flush=True)
    engine.keep(registry)
    print("kept", *told, sep="\t", flush=True)
