"""Render 2,000 mixed shots, train a small spot finder on them, test it on shots it never saw.

Writes `shots.zarr` and `spot_finder.png` into a folder. Needs the extras `torch` and `tables`.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader

import distbragg as db
from distbragg.training import Normalise, RandomCrop, Root

SWEEP = Path(__file__).with_suffix(".yaml")
MOLECULES = {
    "tetragonal": ((79.1, 79.1, 38.0, 90, 90, 90), "P 43 21 2", 1000),
    "trigonal": ((60.0, 60.0, 95.0, 90, 90, 120), "P 31 2 1", 1300),
    "cubic": ((78.9, 78.9, 78.9, 90, 90, 90), "I 21 3", 420),
}
"""Cells, space groups and numbers of atoms of three made-up proteins."""

APART = 0.5  # Å at least between an atom and its images: none lies on a special position

VISIBLE = 30.0  # expected photons from which on a spot is to be found
LISTED = 5.0  # photons of the weakest spot that is labelled; between the two nothing is asked
RATE = 3e-3  # of learning, at first
WEIGHT = torch.tensor(5.0)  # of a pixel of a spot, which are few
REACH = 2.0  # pixels between a spot and what is taken for it
CROP = 128
SHOWN = (40, 240)  # rows and columns of the shot that is drawn

Floats = NDArray[np.float32]
Found = NDArray[np.float64]


def write_molecules(folder: Path) -> None:
    """Write three globules of atoms at random places as PDB files; put your own there instead."""
    for seed, (name, (cell, group, atoms)) in enumerate(MOLECULES.items()):
        draw = np.random.default_rng(seed)
        structure = gemmi.Structure()
        structure.cell, structure.spacegroup_hm = gemmi.UnitCell(*cell), group
        chain, radius = gemmi.Chain("A"), 1.35 * atoms ** (1 / 3) * 1.25
        structure.setup_cell_images()
        middle = np.array(structure.cell.orthogonalize(gemmi.Fractional(0.21, 0.13, 0.19)).tolist())
        for number in range(atoms):
            place = draw.normal(size=3)
            place *= radius * draw.random() ** (1 / 3) / np.linalg.norm(place)
            atom = gemmi.Atom()
            atom.name = element = str(draw.choice(["C", "N", "O", "S"], p=[0.63, 0.17, 0.19, 0.01]))
            atom.element, atom.b_iso = gemmi.Element(element), 15.0
            atom.pos = gemmi.Position(*(middle + place))
            if structure.cell.is_special_position(atom.pos, APART):
                continue  # it would meet its own image
            residue = gemmi.Residue()
            residue.name, residue.seqid = "UNK", gemmi.SeqId(number + 1, " ")
            residue.add_atom(atom)
            chain.add_residue(residue)
        model = gemmi.Model(1)
        model.add_chain(chain)
        structure.add_model(model)
        structure.write_pdb(str(folder / f"{name}.pdb"))


def render(folder: Path, count: int, workers: int | None) -> Path:
    """Render `count` shots into `folder/shots.zarr`; those that exist already are kept."""
    write_molecules(folder)
    shutil.copy(SWEEP, folder / "shots.yaml")
    sweep = db.load_sweep(folder / "shots.yaml", overrides=[f"count={count}"])
    db.sweep(sweep, folder / "shots.zarr", workers=workers)
    return folder / "shots.zarr"


# --- the data ------------------------------------------------------------------------------------


def items(run: Path, part: db.Part, *, crop: int | None) -> db.StackDataset:
    """Open one part of the shots: roots of counts, normalised, with spots and recorded pixels."""
    cut = [RandomCrop(crop, crop)] if crop else []
    return db.StackDataset(
        run,
        part,
        split=db.Split(validation=0.0, test=0.1),
        spots=db.SpotColumns(("position", "photons", "lattice"), minimum_photons=LISTED),
        maps=["recorded"],
        labels=["protein", "lattices"],
        transform=[*cut, Root(), Normalise()],
    )


def targets(batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return where the net is to say 1, and which pixels count, (batch, slow, fast) each.

    Pixels about spots that are labelled but too weak to be asked for do not count.
    """
    spots, shape = batch["spots"], batch["image"].shape
    frame = torch.repeat_interleave(torch.arange(shape[0]), spots["count"])
    pixel = spots["position"].long()
    strong = spots["photons"] >= VISIBLE
    truth, weak = torch.zeros(shape), torch.zeros(shape)
    for plane, which in ((truth, strong), (weak, ~strong)):
        plane[frame[which], pixel[which, 0], pixel[which, 1]] = 1.0
    truth = _grown(truth, 1)
    counts = batch["maps"]["recorded"] & ((_grown(weak, 2) == 0) | (truth > 0))
    return truth, counts


def _grown(plane: torch.Tensor, pixels: int) -> torch.Tensor:
    return functional.max_pool2d(plane[:, None], 2 * pixels + 1, 1, pixels)[:, 0]


# --- the network ---------------------------------------------------------------------------------


class SpotFinder(nn.Sequential):
    """Six convolutions; those in the middle look further by dilation, to see the background."""

    def __init__(self, width: int = 16) -> None:
        layers: list[nn.Module] = []
        for number, dilation in enumerate((1, 1, 2, 4, 2)):
            inputs = width if number else 1
            convolution = nn.Conv2d(inputs, width, 3, padding=dilation, dilation=dilation)
            layers += [convolution, nn.BatchNorm2d(width), nn.ReLU()]
        super().__init__(*layers, nn.Conv2d(width, 1, 1))


def train(run: Path, *, steps: int, batch: int, crop: int = CROP) -> SpotFinder:
    """Train on random crops of the training shots."""
    torch.manual_seed(1)
    net = SpotFinder()
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE)
    fading = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, steps)
    for step, shots in zip(range(steps), _batches(items(run, "train", crop=crop), batch)):
        truth, counts = targets(shots)
        said = net(shots["image"][:, None])[:, 0]
        loss = functional.binary_cross_entropy_with_logits(
            said[counts], truth[counts], pos_weight=WEIGHT
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        fading.step()
        if step % 50 == 0 or step == steps - 1:
            print(f"step {step:4d}  loss {loss.item():.4f}", flush=True)
    return net.eval()


def _batches(data: db.StackDataset, batch: int) -> Iterator[dict[str, Any]]:
    """Yield batches without end; each epoch has other crops in another order."""
    loader = DataLoader(data, batch, shuffle=True, collate_fn=db.collate)
    for epoch in itertools.count():
        data.set_epoch(epoch)
        yield from loader


# --- the test ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """What one finder did with all spots of the test shots."""

    photons: Floats  # expected, of every labelled spot
    found: NDArray[np.bool_]
    peaks: int
    true_peaks: int

    @property
    def recall(self) -> float:
        """Share of the spots to be found that were."""
        asked = self.photons >= VISIBLE
        return float(self.found[asked].mean()) if asked.any() else float("nan")

    @property
    def precision(self) -> float:
        """Share of what was found that is a labelled spot."""
        return self.true_peaks / self.peaks if self.peaks else float("nan")


def net_peaks(net: SpotFinder, item: dict[str, Any]) -> Found:
    """Return places (slow, fast) of the local maxima of the net's probability above one half."""
    with torch.no_grad():
        value = torch.sigmoid(net(item["image"][None, None]))[0, 0]
    return _maxima(value, 0.5, item["maps"]["recorded"])


def plain_peaks(item: dict[str, Any]) -> Found:
    """Return local maxima six deviations above the mean of the 15 × 15 pixels around them."""
    image = item["image"][None, None]
    mean = functional.avg_pool2d(image, 15, 1, 7, count_include_pad=False)
    square = functional.avg_pool2d(image * image, 15, 1, 7, count_include_pad=False)
    value = (image - mean) / torch.sqrt((square - mean * mean).clamp(min=1e-6))
    return _maxima(value[0, 0], 6.0, item["maps"]["recorded"])


def _maxima(value: torch.Tensor, least: float, recorded: torch.Tensor) -> Found:
    top = value == functional.max_pool2d(value[None, None], 5, 1, 2)[0, 0]
    return torch.nonzero(top & (value >= least) & recorded).numpy() + 0.5


def match(peaks: Found, spots: Floats) -> tuple[NDArray[np.bool_], int]:
    """Return which spots have a peak within reach, and how many peaks have a spot there."""
    if not len(peaks) or not len(spots):
        return np.zeros(len(spots), bool), 0
    to_peak, _ = cKDTree(peaks).query(spots)
    to_spot, _ = cKDTree(spots).query(peaks)
    return to_peak <= REACH, int((to_spot <= REACH).sum())


def score(finder: Any, data: db.StackDataset) -> Score:  # noqa: ANN401
    """Let a finder, a function of an item, look at all shots of a data set."""
    photons, found, peaks, true_peaks = [np.empty(0, np.float32)], [np.empty(0, bool)], 0, 0
    for item in _each(data):
        places = finder(item)
        seen, right = match(places, item["spots"]["position"].numpy())
        photons.append(item["spots"]["photons"].numpy())
        found.append(seen)
        peaks, true_peaks = peaks + len(places), true_peaks + right
    return Score(np.concatenate(photons), np.concatenate(found), peaks, true_peaks)


def _each(data: db.StackDataset) -> Iterator[dict[str, Any]]:
    return (data[number] for number in range(len(data)))


def draw(path: Path, net: SpotFinder, data: db.StackDataset, scores: dict[str, Score]) -> None:
    """Draw recall against photons, and a shot of two lattices with what was found."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.5), layout="constrained")
    edges = np.geomspace(LISTED, 3000, 14)
    for name, one in scores.items():
        place = np.digitize(one.photons, edges) - 1
        rates = [
            one.found[place == i].mean() if (place == i).sum() > 4 else np.nan for i in range(13)
        ]
        left.plot(
            np.sqrt(edges[1:] * edges[:-1]),
            rates,
            "o-",
            label=f"{name}: precision {one.precision:.0%}",
        )
    left.axvline(VISIBLE, color="0.6", lw=1)
    left.set(
        xscale="log", ylim=(0, 1.02), xlabel="expected photons of a spot", ylabel="share found"
    )
    left.set_title("spots of test shots")
    left.legend(loc="lower right")
    item = min(_each(data), key=_unlike_an_example)
    right.imshow(item["image"].numpy(), cmap="gray_r", vmin=-1, vmax=5)
    asked = item["spots"]["photons"] >= VISIBLE
    slow, fast = item["spots"]["position"][asked].numpy().T
    right.plot(fast - 0.5, slow - 0.5, "o", ms=13, mfc="none", mec="tab:blue", label="true")
    peaks = net_peaks(net, item)
    right.plot(peaks[:, 1] - 0.5, peaks[:, 0] - 0.5, "+", ms=9, color="tab:red", label="found")
    right.set(xlim=(SHOWN[0], SHOWN[1]), ylim=(SHOWN[1], SHOWN[0]))
    right.set_title(f"part of a shot: {item['protein']}, lattices: {int(item['lattices'])}")
    right.legend(loc="upper right")
    figure.savefig(path, dpi=110)


def _unlike_an_example(item: dict[str, Any]) -> float:
    """Return how far a shot is from one of two lattices with 200 spots to be found."""
    count = int((item["spots"]["photons"] >= VISIBLE).sum())
    return abs(count - 200) + 1000.0 * (int(item["lattices"]) != 2)


def main(arguments: list[str] | None = None) -> dict[str, Score]:
    """Render, train, test; print and draw what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shots", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=250, help="of training; 250 take a minute")
    parser.add_argument("--workers", type=int, help="processes that render; default: this one")
    parser.add_argument("--batch", type=int, default=8, help="crops of a step")
    asked = parser.parse_args(arguments)
    asked.folder.mkdir(parents=True, exist_ok=True)
    run = render(asked.folder, asked.shots, asked.workers)
    net = train(run, steps=asked.steps, batch=asked.batch)
    data = items(run, "test", crop=None)
    scores = {
        "network": score(lambda item: net_peaks(net, item), data),
        "threshold": score(plain_peaks, data),
    }
    asked_for = int((scores["network"].photons >= VISIBLE).sum())
    print(f"{len(data)} test shots, {asked_for} spots of {VISIBLE:g} photons and more")
    for name, one in scores.items():
        print(f"{name:10s} recall {one.recall:.3f}  precision {one.precision:.3f}")
    draw(asked.folder / "spot_finder.png", net, data, scores)
    return scores


if __name__ == "__main__":
    main()
