"""Labelled structures, their splits and batches, and tables of experimental values."""

from fusepot.data.checks import Limits
from fusepot.data.dataset import Dataset, Labelled, label, reference_energies
from fusepot.data.experiment import Measurement, interpolate, load_measurements
from fusepot.data.extxyz import load_dataset, shipped
from fusepot.data.npy import load_npy, verify_published
from fusepot.data.splits import Split, split_by_hash, split_in_order
from fusepot.data.targets import Condition, Experiment, Target, load_experiment

__all__ = [
    "Condition",
    "Dataset",
    "Experiment",
    "Labelled",
    "Limits",
    "Measurement",
    "Split",
    "Target",
    "interpolate",
    "label",
    "load_dataset",
    "load_experiment",
    "load_measurements",
    "load_npy",
    "reference_energies",
    "shipped",
    "split_by_hash",
    "split_in_order",
    "verify_published",
]
