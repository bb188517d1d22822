"""The spots of one frame: where they fall and how many photons they hold."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from operator import attrgetter

import numpy as np

from distbragg.errors import InputError
from distbragg.models.experiment import Experiment
from distbragg.physics.lattices import lattices_of
from distbragg.predict.closed_form import count_integrals, predict_closed
from distbragg.predict.landing import active_at, check_surface
from distbragg.predict.samples import predict_sampled
from distbragg.predict.table import Spots, no_spots, ordered, together
from distbragg.predict.twin import Twin


def predict_spots(
    experiment: Experiment, minimum_photons: float = 0.0, twin: Twin | None = None
) -> Spots:
    """Predict the spots of one frame; those below `minimum_photons` are left out.

    In closed form by a twin if there is one.

    Spots of two lattices that overlap are told apart, each with its own photons; those of blocks of
    several sizes are not.
    """
    check_surface(experiment.detector)
    closed = experiment.sampling.method == "closed_form"
    # Blocks of several sizes make one spot.
    sized = bool(experiment.crystal.blocks)
    least = 0.0 if sized else minimum_photons
    parts = []
    for number, own in groupby(lattices_of(experiment), key=attrgetter("number")):
        sizes = [lattice.experiment for lattice in own]
        if sizes[0].reflections.is_dark:
            found = [no_spots()]
        elif closed:
            found = [predict_closed(sizes, least, twin)]
        else:
            found = [predict_sampled(one, least) for one in sizes]
        parts += [
            replace(spots, lattice=np.full(len(spots), number, dtype=np.int32)) for spots in found
        ]
    spots = ordered(parts)
    if not sized:
        return spots
    spots = together(spots, minimum_photons)
    place = spots.panel.astype(np.int64), spots.slow, spots.fast
    return replace(spots, active=active_at(experiment.detector, *place))


def integrals_of_spots(
    experiment: Experiment, minimum_photons: float, twin: Twin | None
) -> int | None:
    """Count the integrals that predicting the spots of a frame takes; None of a sampled frame."""
    if experiment.sampling.method != "closed_form":
        return None
    least = 0.0 if experiment.crystal.blocks else minimum_photons
    lattices = [lattice.experiment for lattice in lattices_of(experiment)]
    return sum(count_integrals(lattice, least, twin) for lattice in lattices)


def visible_spots(experiment: Experiment, twin: Twin | None) -> Spots:
    """Predict the spots that a picture or a summary of a frame tells of.

    Where |F| is interpolated there is scattering everywhere between lattice points, as of single
    molecules: a place that is marked as a spot would mean nothing.
    """
    if experiment.reflections.interpolate:
        raise InputError(
            "|F| is interpolated between reflections, so that no spots are predicted",
            field="structure_factors.interpolate",
        )
    return predict_spots(experiment, twin=twin)
