"""Crash copies of ext file systems: a Linux kernel in a process writes to an image and is killed in the middle of it.

What the kernel writes reaches the image at once, so that the image is what a power cut would have left.
"""

from __future__ import annotations

from pathlib import Path

from fixtures import kernel

# The noise is blocks that begin as those of a journal do: a journal of data has to escape them.
_SCRIPT = """
noise=/tmp/noise
for number in $(seq 40); do printf '\\300\\073\\071\\230'; yes "noise $number" | head -c 1020; done >$noise
mkdir /mnt/fs
mount -t ext4 -o $options /dev/ubda /mnt/fs
cd /mnt/fs
random() { seed=$(( (seed * 1103515245 + 12345) & 0x7fffffff )); r=$(( (seed >> 8) % $1 )); }
step=0
while :; do
    step=$((step + 1))
    random 20; d=d$r; [ -d $d ] || mkdir $d
    random 30; f=$d/f$r
    random 12
    case $r in
    0) rm -f $f ;;
    1) rm -rf $d ;;
    2) random 60000; [ ! -f $f ] || truncate -s $r $f ;;
    3) ln -sfn ../$f $d/link ;;
    4) [ ! -f $f ] || mv $f $d/moved ;;
    5) sync -f . ;;
    6) exec 4>$d/held; echo held >&4; rm $d/held ;;
    *) random 40; head -c $((r * 700 + 1)) $noise >$f ;;
    esac
    [ $step != $steps ] || echo $crash
done
"""


def crash(image: Path, *, seed: int, steps: int, options: str = "commit=1") -> None:
    """Mount an ext file system, make, rewrite and remove files, and kill the kernel after so many steps.

    Some are removed while they are open: the crash leaves orphans.
    """
    given = {"seed": seed, "steps": steps, "options": options}
    kernel.run(_SCRIPT, image, given={**{key: str(value) for key, value in given.items()}, "crash": kernel.CRASH})
