"""The printed tables of the capacity-gap paper, in points, typed from its appendices (numbers only).

Tables 7 and 8 are the cross-teacher-filtered ablation, measured on 100 test items per task (Penguins: 59); tables 9 and
10 are few-shot accuracies on whole tasks.
"""

from __future__ import annotations

SIZES = (0.5, 1.5, 3.0, 7.0)
"""Students of Tables 7 to 10, in billions of parameters."""

TABLE_7: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "Date Understanding": ((51.0, 81.0, 91.0, 92.0), (55.0, 85.0, 80.0, 91.0)),
    "Dyck Languages": ((3.0, 12.0, 28.0, 37.0), (1.0, 12.0, 23.0, 43.0)),
    "Formal Fallacies": ((52.0, 48.0, 65.0, 71.0), (53.0, 59.0, 67.0, 77.0)),
    "Logical Deduction (3)": ((45.0, 76.0, 92.0, 95.0), (39.0, 83.0, 93.0, 96.0)),
    "Logical Deduction (5)": ((30.0, 45.0, 55.0, 74.0), (28.0, 42.0, 56.0, 59.0)),
    "Logical Deduction (7)": ((17.0, 37.0, 49.0, 60.0), (13.0, 40.0, 41.0, 58.0)),
    "Penguins in a Table": ((35.6, 64.4, 83.1, 88.1), (32.2, 66.1, 78.0, 81.4)),
    "Reasoning about Colored Objects": ((35.0, 74.0, 85.0, 90.0), (25.0, 76.0, 84.0, 87.0)),
    "Ruin Names": ((59.0, 76.0, 76.0, 81.0), (40.0, 77.0, 74.0, 80.0)),
    "Salient Translation Error Detection": ((31.0, 46.0, 62.0, 64.0), (34.0, 43.0, 58.0, 67.0)),
    "Temporal Sequences": ((82.0, 96.0, 97.0, 98.0), (65.0, 96.0, 99.0, 100.0)),
    "Tracking Shuffled Objects (3)": ((85.0, 99.0, 98.0, 99.0), (83.0, 99.0, 99.0, 100.0)),
    "Tracking Shuffled Objects (5)": ((85.0, 94.0, 97.0, 100.0), (77.0, 94.0, 99.0, 99.0)),
    "Tracking Shuffled Objects (7)": ((41.0, 94.0, 99.0, 98.0), (43.0, 93.0, 100.0, 99.0)),
    "Word Sorting": ((9.0, 28.0, 35.0, 52.0), (8.0, 25.0, 36.0, 50.0)),
}
"""Task -> accuracies by student size after distillation from the 14B, and from the 72B."""

TABLE_8: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "Date Understanding": ((52.0, 80.0, 83.0, 92.0), (55.0, 75.0, 85.0, 84.0)),
    "Dyck Languages": ((1.0, 7.0, 24.0, 38.0), (1.0, 10.0, 31.0, 25.0)),
    "Formal Fallacies": ((50.0, 45.0, 62.0, 65.0), (42.0, 51.0, 54.0, 70.0)),
    "Logical Deduction (3)": ((48.0, 73.0, 88.0, 96.0), (47.0, 82.0, 93.0, 96.0)),
    "Logical Deduction (5)": ((29.0, 47.0, 56.0, 69.0), (29.0, 46.0, 54.0, 74.0)),
    "Logical Deduction (7)": ((10.0, 41.0, 38.0, 62.0), (18.0, 36.0, 47.0, 67.0)),
    "Penguins in a Table": ((37.3, 64.4, 74.6, 83.1), (39.0, 71.2, 89.8, 84.7)),
    "Reasoning about Colored Objects": ((31.0, 72.0, 85.0, 90.0), (41.0, 77.0, 86.0, 94.0)),
    "Ruin Names": ((48.0, 64.0, 78.0, 85.0), (45.0, 69.0, 74.0, 81.0)),
    "Salient Translation Error Detection": ((33.0, 47.0, 64.0, 69.0), (51.0, 50.0, 60.0, 64.0)),
    "Temporal Sequences": ((81.0, 81.0, 95.0, 97.0), (71.0, 72.0, 100.0, 100.0)),
    "Tracking Shuffled Objects (3)": ((95.0, 100.0, 100.0, 100.0), (94.0, 99.0, 99.0, 98.0)),
    "Tracking Shuffled Objects (5)": ((82.0, 98.0, 99.0, 99.0), (89.0, 99.0, 99.0, 99.0)),
    "Tracking Shuffled Objects (7)": ((63.0, 99.0, 99.0, 100.0), (64.0, 94.0, 97.0, 99.0)),
    "Word Sorting": ((9.0, 28.0, 30.0, 59.0), (11.0, 33.0, 41.0, 60.0)),
}
"""Task -> accuracies by student size after distillation from the 32B (short), and from QwQ (long)."""

TABLE_9: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "Boolean Expressions": ((75.2, 88.0, 88.8, 96.4), (99.2, 100.0, 100.0, 96.8)),
    "Causal Judgement": ((48.7, 59.9, 54.5, 60.4), (65.8, 69.0, 71.7, 67.9)),
    "Date Understanding": ((30.4, 53.6, 66.4, 82.4), (91.2, 92.0, 93.2, 89.6)),
    "Disambiguation QA": ((31.2, 49.2, 63.6, 69.2), (82.4, 79.2, 82.8, 74.4)),
    "Dyck Languages": ((0.0, 0.0, 3.6, 11.2), (31.6, 58.8, 61.2, 40.4)),
    "Formal Fallacies": ((53.2, 52.0, 62.4, 70.4), (84.4, 88.8, 89.2, 98.4)),
    "Geometric Shapes": ((22.0, 28.8, 49.2, 66.4), (54.4, 58.4, 54.8, 70.8)),
    "Hyperbaton": ((55.2, 72.8, 74.4, 90.0), (99.6, 98.8, 99.2, 99.6)),
    "Logical Deduction (3)": ((37.6, 59.2, 70.0, 86.8), (97.6, 98.8, 98.0, 97.6)),
    "Logical Deduction (5)": ((22.4, 33.2, 45.6, 59.2), (80.4, 88.4, 92.0, 90.0)),
    "Logical Deduction (7)": ((22.0, 34.4, 32.8, 45.6), (77.2, 83.6, 83.6, 83.6)),
    "Movie Recommendation": ((37.2, 48.4, 74.0, 66.4), (74.0, 78.0, 80.4, 87.6)),
    "Multistep Arithmetic Two": ((30.8, 60.8, 91.2, 94.8), (97.6, 96.8, 100.0, 98.4)),
    "Navigate": ((58.4, 73.6, 90.0, 95.2), (98.0, 98.8, 99.2, 97.2)),
    "Object Counting": ((53.6, 58.8, 63.2, 78.4), (92.4, 90.0, 97.6, 89.6)),
    "Penguins in a Table": ((32.9, 61.6, 79.5, 94.5), (97.9, 99.3, 99.3, 96.6)),
    "Reasoning about Colored Objects": ((20.8, 62.0, 75.6, 90.0), (95.2, 98.4, 99.2, 99.6)),
    "Ruin Names": ((24.0, 36.0, 42.8, 66.0), (84.8, 84.8, 89.2, 82.0)),
    "Salient Translation Error Detection": ((12.0, 33.2, 46.0, 54.8), (67.6, 72.0, 65.6, 66.8)),
    "Snarks": ((46.6, 57.3, 64.6, 79.8), (82.3, 87.1, 91.6, 93.3)),
    "Sports Understanding": ((48.8, 73.2, 82.0, 87.2), (90.4, 90.4, 94.8, 91.2)),
    "Temporal Sequences": ((24.8, 15.2, 45.6, 81.6), (97.6, 100.0, 100.0, 98.4)),
    "Tracking Shuffled Objects (3)": ((32.4, 41.2, 67.6, 88.8), (89.6, 99.6, 100.0, 99.6)),
    "Tracking Shuffled Objects (5)": ((15.6, 18.8, 39.6, 77.2), (90.0, 100.0, 98.4, 97.6)),
    "Tracking Shuffled Objects (7)": ((17.2, 16.4, 26.4, 65.6), (85.6, 99.6, 98.0, 97.6)),
    "Web of Lies": ((59.6, 80.8, 100.0, 99.2), (99.6, 100.0, 100.0, 100.0)),
    "Word Sorting": ((4.4, 6.8, 16.0, 29.2), (50.8, 63.2, 68.4, 83.6)),
}
"""Task -> accuracies of the students by size, and of 14B, 32B, 72B, QwQ."""

TABLE_9_PRINTED: dict[str, tuple[float, float, float]] = {
    "Boolean Expressions": (87.1, 99.0, 11.9),
    "Causal Judgement": (55.9, 68.6, 12.7),
    "Date Understanding": (58.2, 91.5, 33.3),
    "Disambiguation QA": (53.3, 79.7, 26.4),
    "Dyck Languages": (3.7, 48.0, 44.3),
    "Formal Fallacies": (59.5, 90.2, 30.7),
    "Geometric Shapes": (41.6, 59.6, 18.0),
    "Hyperbaton": (73.1, 99.3, 26.2),
    "Logical Deduction (3)": (63.4, 98.0, 34.6),
    "Logical Deduction (5)": (40.1, 87.7, 47.6),
    "Logical Deduction (7)": (33.7, 82.0, 48.3),
    "Movie Recommendation": (56.5, 80.0, 23.5),
    "Multistep Arithmetic Two": (69.4, 98.2, 28.8),
    "Navigate": (79.3, 98.3, 19.0),
    "Object Counting": (63.5, 92.4, 28.9),
    "Penguins in a Table": (67.1, 98.3, 31.2),
    "Reasoning about Colored Objects": (62.1, 98.1, 36.0),
    "Ruin Names": (42.2, 85.2, 43.0),
    "Salient Translation Error Detection": (36.5, 68.0, 31.5),
    "Snarks": (62.1, 88.6, 26.5),
    "Sports Understanding": (72.8, 91.7, 18.9),
    "Temporal Sequences": (41.8, 99.0, 57.2),
    "Tracking Shuffled Objects (3)": (57.5, 97.2, 39.7),
    "Tracking Shuffled Objects (5)": (37.8, 96.5, 58.7),
    "Tracking Shuffled Objects (7)": (31.4, 95.2, 63.8),
    "Web of Lies": (84.9, 99.9, 15.0),
    "Word Sorting": (14.1, 66.5, 52.4),
}
"""Task -> printed mean of the students, mean of the teachers, gap."""

TABLE_10: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "Boolean Expressions": ((75.2, 88.0, 88.8, 96.4), (91.6, 91.2)),
    "Causal Judgement": ((48.7, 59.9, 54.5, 60.4), (63.1, 66.8)),
    "Date Understanding": ((30.4, 53.6, 66.4, 82.4), (81.6, 83.6)),
    "Disambiguation QA": ((31.2, 49.2, 63.6, 69.2), (75.6, 82.4)),
    "Dyck Languages": ((0.0, 0.0, 3.6, 11.2), (9.2, 9.2)),
    "Formal Fallacies": ((53.2, 52.0, 62.4, 70.4), (60.8, 71.6)),
    "Geometric Shapes": ((22.0, 28.8, 49.2, 66.4), (52.0, 54.8)),
    "Hyperbaton": ((55.2, 72.8, 74.4, 90.0), (77.2, 98.4)),
    "Logical Deduction (3)": ((37.6, 59.2, 70.0, 86.8), (82.8, 91.6)),
    "Logical Deduction (5)": ((22.4, 33.2, 45.6, 59.2), (57.2, 61.2)),
    "Logical Deduction (7)": ((22.0, 34.4, 32.8, 45.6), (50.4, 54.8)),
    "Movie Recommendation": ((37.2, 48.4, 74.0, 66.4), (59.6, 73.2)),
    "Multistep Arithmetic Two": ((30.8, 60.8, 91.2, 94.8), (83.6, 90.0)),
    "Navigate": ((58.4, 73.6, 90.0, 95.2), (58.8, 98.0)),
    "Object Counting": ((53.6, 58.8, 63.2, 78.4), (88.0, 95.6)),
    "Penguins in a Table": ((32.9, 61.6, 79.5, 94.5), (93.8, 93.8)),
    "Reasoning about Colored Objects": ((20.8, 62.0, 75.6, 90.0), (79.6, 88.4)),
    "Ruin Names": ((24.0, 36.0, 42.8, 66.0), (82.4, 85.6)),
    "Salient Translation Error Detection": ((12.0, 33.2, 46.0, 54.8), (63.2, 60.0)),
    "Snarks": ((46.6, 57.3, 64.6, 79.8), (80.9, 87.1)),
    "Sports Understanding": ((48.8, 73.2, 82.0, 87.2), (92.4, 94.4)),
    "Temporal Sequences": ((24.8, 15.2, 45.6, 81.6), (84.4, 98.0)),
    "Tracking Shuffled Objects (3)": ((32.4, 41.2, 67.6, 88.8), (67.6, 85.2)),
    "Tracking Shuffled Objects (5)": ((15.6, 18.8, 39.6, 77.2), (76.4, 86.8)),
    "Tracking Shuffled Objects (7)": ((17.2, 16.4, 26.4, 65.6), (68.8, 80.4)),
    "Web of Lies": ((59.6, 80.8, 100.0, 99.2), (100.0, 100.0)),
    "Word Sorting": ((4.4, 6.8, 16.0, 29.2), (47.6, 83.2)),
}
"""Task -> accuracies of the students by size, and of Gemma 9B, 27B."""

TABLE_10_PRINTED: dict[str, tuple[float, float, float]] = {
    "Boolean Expressions": (87.1, 91.4, 4.3),
    "Causal Judgement": (55.9, 65.0, 9.1),
    "Date Understanding": (58.2, 82.6, 24.4),
    "Disambiguation QA": (53.3, 79.0, 25.7),
    "Dyck Languages": (3.7, 9.2, 5.5),
    "Formal Fallacies": (59.5, 66.2, 6.7),
    "Geometric Shapes": (41.6, 53.4, 11.8),
    "Hyperbaton": (73.1, 87.8, 14.7),
    "Logical Deduction (3)": (63.4, 87.2, 23.8),
    "Logical Deduction (5)": (40.1, 59.2, 19.1),
    "Logical Deduction (7)": (33.7, 52.6, 18.9),
    "Movie Recommendation": (56.5, 66.4, 9.9),
    "Multistep Arithmetic Two": (69.4, 86.8, 17.4),
    "Navigate": (79.3, 78.4, 0.9),
    "Object Counting": (63.5, 91.8, 28.3),
    "Penguins in a Table": (67.1, 93.8, 26.7),
    "Reasoning about Colored Objects": (62.1, 84.0, 21.9),
    "Ruin Names": (42.2, 84.0, 41.8),
    "Salient Translation Error Detection": (36.5, 61.6, 25.1),
    "Snarks": (62.1, 84.0, 21.9),
    "Sports Understanding": (72.8, 93.4, 20.6),
    "Temporal Sequences": (41.8, 91.2, 49.4),
    "Tracking Shuffled Objects (3)": (57.5, 76.4, 18.9),
    "Tracking Shuffled Objects (5)": (37.8, 81.6, 43.8),
    "Tracking Shuffled Objects (7)": (31.4, 74.6, 43.2),
    "Web of Lies": (84.9, 100.0, 15.1),
    "Word Sorting": (14.1, 65.4, 51.3),
}
"""Task -> printed mean of the students, mean of the teachers, gap."""

TABLE_6 = {"Small": (67.49, 65.70), "Large": (67.95, 64.34), "Short": (67.75, 64.92), "Long": (69.09, 66.11)}
"""Teacher -> mean accuracy without and with the cross-teacher filter."""

TEST_ITEMS = {task: 59 if task == "Penguins in a Table" else 100 for task in TABLE_7}
WHOLE_TASK_ITEMS = {**dict.fromkeys(TABLE_9, 250), "Causal Judgement": 187, "Penguins in a Table": 146, "Snarks": 178}
