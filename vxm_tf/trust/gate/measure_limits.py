"""Limits of each measure of a registration: its usual value, where a person should look, and where it fails.

They were chosen on pairs of training brains at 2 mm, intact and deliberately spoiled (`studies/spoiled.py`), and are
wide enough for brains of 1 mm, hippocampi and phantoms: they lie between sound and broken registrations, not at the
edge of the sound ones.
"""

import dataclasses

MIRRORED = "mirrored_axis"
# Highest score of images whose edges agree and whose brightness does not; they are to be reviewed.
UNLIKE = 1.9


@dataclasses.dataclass(frozen=True)
class Limit:
    """Limits of one measure of a registration.

    Attributes:
        usual: typical value of a sound registration.
        review: value at which, coming from `usual`, a person should look at the registration.
        fail: value at which, coming from `usual`, the registration counts as broken.
        sentence: reason to give to people, with the names of measures in braces.
    """

    usual: float
    review: float
    fail: float
    sentence: str

    def score(self, value: float) -> float:
        """How unusual a value is: 0 up to `usual`, 1 at `review`, 2 at `fail`, linear between and beyond."""
        first = (value - self.usual) / (self.review - self.usual)
        return max(first, 0.0) if first < 1.0 else 1.0 + (value - self.review) / (self.fail - self.review)


LIMITS = {
    "similarity": Limit(
        0.9, 0.55, 0.25,
        "After registration the images are unlike: their local correlation is {similarity:.2f}, usually about 0.9 and "
        "rarely below 0.55. Look at the moved image beside the fixed one: whether they show the same, and lie alike.",
    ),
    "edges": Limit(
        0.88, 0.5, 0.2,
        "After registration edges do not lie on edges: their local correlation is {edges:.2f}, usually above 0.8 and "
        "rarely below 0.5. Look at outlines in the moved image beside those in the fixed one.",
    ),
    "unrest": Limit(
        0.6, 1.5, 4.0,
        "A few steps of optimisation would still move this registration by {unrest_mm:.1f} mm or more over a quarter "
        "of what the images show, usually by less than 1 mm. Look at outlines in the moved image beside those in the "
        "fixed one; --refine may mend it.",
    ),
    "noise": Limit(
        0.02, 0.15, 0.3,
        "An image is noisy: neighbouring voxels differ by {noise:.0%} of its contrast, usually 1 to 5 %. Look whether "
        "structures can be seen in both images.",
    ),
    "missing": Limit(
        0.0, 0.07, 0.25,
        "{missing:.0%} of what the fixed image shows has nothing near it in the moving image, usually below 2 %. Look "
        "for a part that was cut off, a gap, or a mask that removed too much.",
    ),
    "extra": Limit(
        0.0, 0.1, 0.5,
        "{extra:.0%} of what the moving image shows has nothing near it in the fixed image, usually below 2 %. Look "
        "whether one is cut off, or one shows the skull or a neck and the other does not.",
    ),
    "mirrored": Limit(
        -0.3, 0.35, 1.0,
        "Mirrored along axis {mirrored_axis} the moving image would resemble the fixed one more (by {mirrored:.2f} on "
        "a scale from -1 to 1, usually below 0). Look whether left and right, front and back, or "
        "up and down are swapped.",
    ),
    "turned": Limit(
        -0.6, 0.2, 1.0,
        "Turned by 30 degrees or more the moving image would resemble the fixed one more, before anything is deformed. "
        "Look whether both heads point the same way; if not, align them first with --affine register.",
    ),
    "displacement": Limit(
        0.06, 0.4, 0.8,
        "Much has to move far: 5 % of it by more than {displacement:.0%} of the size of what the fixed image shows, "
        "usually 5 to 20 %. Look whether the images were brought together first, as --affine register does.",
    ),
    "volume_change": Limit(
        0.02, 0.2, 0.4,
        "{volume_change:.0%} of all voxels grow or shrink more than 2.5 times, usually below 5 %. Look at the warped "
        "grid for places that are blown up or crushed.",
    ),
    "folds": Limit(
        0.0, 0.005, 0.05,
        "The transform folds at {folds:.1%} of all voxels, usually at none. Look at the certificate, or use --repair.",
    ),
    "turn_degrees": Limit(
        2.0, 20.0, 40.0,
        "The deformation turns the image by {turn_degrees:.0f} degrees as a whole, usually by less than 10. Look "
        "whether both point the same way; if not, align them first with --affine register.",
    ),
    "uncertainty": Limit(
        0.01, 0.05, 0.15,
        "The displacement is uncertain by more than {uncertainty:.0%} of the size of what the fixed image shows at 5 % "
        "of its voxels, usually by less than 2 %. Look at the map of the uncertainty.",
    ),
}  # fmt: skip

SAME_CONTRAST = (
    "Edges agree (local correlation {edges:.2f}) but brightness does not ({similarity:.2f}): what is bright in one "
    "image is dark in the other. Look whether one is inverted; for images of unlike contrast, --similarity mi says "
    "that this is meant."
)
