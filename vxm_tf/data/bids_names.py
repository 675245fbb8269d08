"""Names of BIDS: entities such as sub-01, joined by underscores, and a suffix such as T1w."""

# Entities that describe a file and do not say which scan it belongs to.
DESCRIPTIONS = ("desc", "res", "den", "label", "atlas", "seg")


def without_description(name: str, has_suffix: bool) -> str:
    """The entities of a name that say which scan it belongs to; the whole name if it is not BIDS'.

    Args:
        name: a file name without its extension.
        has_suffix: whether the name ends in a suffix, such as T1w, which is left out.

    Example:

    >>> from vxm_tf.data.bids_names import without_description
    >>> without_description("sub-01_ses-2_desc-preproc_T1w", True)
    'sub-01_ses-2'
    """
    if not name.startswith("sub-"):
        return name
    parts = name.split("_")
    parts = parts[:-1] if has_suffix and "-" not in parts[-1] else parts
    return "_".join(part for part in parts if part.split("-")[0] not in DESCRIPTIONS)


def subject_of(name: str) -> str:
    """The subject and session of a name of BIDS, such as "sub-01_ses-2"; empty if the name is not BIDS'."""
    parts = name.split("_")
    return "_".join(part for part in parts if part.startswith(("sub-", "ses-"))) if name.startswith("sub-") else ""
