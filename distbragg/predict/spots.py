"""The spots of one frame: where they fall and how many photons they hold."""

from __future__ import annotations

from distbragg.models.experiment import Experiment
from distbragg.predict.closed_form import predict_closed
from distbragg.predict.landing import check_flat
from distbragg.predict.samples import predict_sampled
from distbragg.predict.table import Spots


def predict_spots(experiment: Experiment, minimum_photons: float = 0.0) -> Spots:
    """Predict the spots of one frame; those below `minimum_photons` are left out."""
    check_flat(experiment.detector)
    closed = experiment.sampling.method == "closed_form"
    predict = predict_closed if closed else predict_sampled
    return predict(experiment, minimum_photons)
