"""Job arrays for Slurm: each task runs one LAMMPS run of a validation; the report comes afterwards."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from fusepot.errors import InputError
from fusepot.files import write_atomically
from fusepot.validation.interface import Run

SCRIPT = """\
#!/bin/bash
#SBATCH --job-name=fusepot-validate
#SBATCH --array=1-{count}%{jobs}
#SBATCH --nodes=1
#SBATCH --ntasks={ranks}
#SBATCH --cpus-per-task=1
#
# {count} LAMMPS runs of a validation, {jobs} at a time, {ranks} MPI ranks each. Submit it with
#     sbatch {script}
# Add what your site asks for: --time, --partition, --account. Where an array may not be as long as this one
# (scontrol show config | grep MaxArraySize), submit parts of it: sbatch --array=1-500 ...
# A run that hits its time limit continues from its last restart file if the array is submitted again.
# When all are done, make the report with
#     cd {folder} && {command}
set -eu
cd {folder}
name=$(sed -n "${{SLURM_ARRAY_TASK_ID:?is set by sbatch}}p" {list})
if [ -z "$name" ]; then
    echo "no line $SLURM_ARRAY_TASK_ID in "{list} >&2
    exit 2
fi
# All ranks are on one node: mpiexec starts them itself, without srun.
export HYDRA_BOOTSTRAP=fork HYDRA_RMK=user
exec {command} --ranks {ranks} --jobs 1 --run "$name"
"""


def write_job_array(out: Path, runs: Sequence[Run], command: Sequence[str], *, ranks: int, jobs: int) -> Path | None:
    """Write ``slurm/jobs.txt``, a name of a run per line, and ``slurm/array.sh``, the script for ``sbatch``.

    Args:
        out: folder of the report; made if it is missing.
        runs: what is to be run. Those that are finished need not be among them.
        command: ``fusepot validate ...`` as words, without ``--run``, ``--jobs``, ``--ranks`` and ``--slurm``; paths
            in it are relative to the current folder.
        ranks: MPI processes of each run.
        jobs: tasks at a time.

    Returns:
        The script; None where there is nothing to run, and an older one is removed.

    Raises:
        InputError: ranks or jobs are not positive, or a name, a word or a path is empty or has a line break.
    """
    for argument, value in (("ranks", ranks), ("jobs", jobs)):
        if value < 1:
            raise InputError(argument, got=value, expected="a positive whole number")
    for argument, words in (("runs", [run.name for run in runs]), ("command", [*command, str(Path.cwd()), str(out)])):
        broken = [word for word in words if len(word.splitlines()) != 1]
        if broken:
            raise InputError(argument, got=repr(broken[0]), expected="one line, not empty")
    folder = out.resolve() / "slurm"
    names, script = folder / "jobs.txt", folder / "array.sh"
    if not runs:
        for path in (names, script):
            path.unlink(missing_ok=True)
        return None
    folder.mkdir(parents=True, exist_ok=True)
    text = SCRIPT.format(
        count=len(runs),
        jobs=min(jobs, len(runs)),
        ranks=ranks,
        script=shlex.quote(str(script)),
        folder=shlex.quote(str(Path.cwd())),
        list=shlex.quote(str(names)),
        command=shlex.join(command),
    )
    write_atomically(names, "".join(f"{run.name}\n" for run in runs).encode())
    write_atomically(script, text.encode())
    script.chmod(0o755)
    return script
