"""The paper's own figures (Product2IMG, ACM MM 2024), to stand beside ours. On EPBD's test split, 512 x 512."""

from __future__ import annotations

# Table 1: FID, PickScore, aesthetics, CLIP-c-I and CLIP-c-B by method.
TABLE_1: dict[str, dict[str, float]] = {
    "sd_inpainting": {"fid": 5.76, "pickscore": 20.09, "aesthetics": 4.92, "clip_c_i": 80.15},
    "controlnet": {"fid": 8.84, "pickscore": 19.55, "aesthetics": 4.90, "clip_c_i": 83.56, "clip_c_b": 54.35},
    "ip_adapter": {"fid": 8.74, "pickscore": 19.72, "aesthetics": 4.93, "clip_c_i": 76.79},
    "powerpaint": {"fid": 5.13, "pickscore": 19.82, "aesthetics": 4.99, "clip_c_i": 81.27, "clip_c_b": 56.27},
    "epbd_ft": {"fid": 2.79, "pickscore": 20.17, "aesthetics": 5.14, "clip_c_i": 83.72, "clip_c_b": 56.09},
    "feedback": {"fid": 2.64, "pickscore": 20.24, "aesthetics": 5.27, "clip_c_i": 84.09, "clip_c_b": 57.55},
}
# Table 2: after round 1.
TABLE_2: dict[str, dict[str, float]] = {
    "feedback": {"fid": 2.67, "aesthetics": 5.25, "clip_c_b": 57.30},
    "no_cba": {"fid": 2.72, "aesthetics": 5.24, "clip_c_b": 56.10},
}
# Table 3: with and without Iterative Data Refinement, after 3000, 4000 and 5000 steps.
TABLE_3: dict[str, tuple[dict[str, float], ...]] = {
    "feedback": (
        {"fid": 2.67, "aesthetics": 5.25, "clip_c_b": 57.30},
        {"fid": 2.64, "aesthetics": 5.26, "clip_c_b": 57.46},
        {"fid": 2.64, "aesthetics": 5.27, "clip_c_b": 57.55},
    ),
    "no_filter": (
        {"fid": 2.68, "aesthetics": 5.23, "clip_c_b": 56.28},
        {"fid": 2.66, "aesthetics": 5.23, "clip_c_b": 56.34},
        {"fid": 2.70, "aesthetics": 5.23, "clip_c_b": 56.36},
    ),
}
