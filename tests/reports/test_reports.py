"""What strangers feed it: one small input for each public report, and what comes of it.

The inputs are like those of the reports, with other numbers. All tables of 3 layers x 8 experts are
one table in different clothes, so that each must give the plan of ``table.csv``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import eplb
import numpy as np
import pytest
from eplb import EplbError, LoadError, cli
from eplb.load_files import read_loads

INPUTS = Path(__file__).parent / "inputs"
# Digests of plans of table.csv: without redundant slots, with 4, and as two equal windows with 4.
EVEN, SPARE, TWICE = "5efc34ea9c70371e", "e777a6b8bcf433f8", "e9e89cb07a2864c8"
TRACE = "02bc8186533b9366"  # of trace.csv
# Nothing is said but what was done to the loads.
_ALWAYS = ("there are no redundant slots",)


class Planned(NamedTuple):
    """A plan: the words of ``eplb plan``, its digest, and what its notes say, in order."""

    words: str
    digest: str
    notes: tuple[str, ...] = ()


class Refused(NamedTuple):
    """A message: the words of the command line, the error, and the hint."""

    words: str
    error: str
    hint: str = ""


LONG = "24 rows of layer, expert and load, read as a table 3 x 8"
WIDE = "3 rows with a column for each expert, read as a table 3 x 8"
BY_EXPERT = "8 rows with a column for each layer, read as a table 3 x 8"
RECORDS = "24 records of layer, expert and load, read as a table 3 x 8"
VALUES = "24 values of layer, expert and load, read as a table 3 x 8"
COUNTED = "72 rows of one token each, counted, read as a table 3 x 8"
FLAT = "24 numbers, read as 3 x 8: layer after layer, as stated"
LAYERS = "what each row is: column 'layer'"
SLOTS = r"12 slots counted, read as 8 experts by "

PLANNED: dict[str, Planned] = {
    # 1. Long tables, as recorders and spreadsheets write them.
    "a row per layer and expert": Planned("long.csv", EVEN, (LONG,)),
    "other names, semicolons": Planned("long_tokens.csv", EVEN, (LONG,)),
    "no header": Planned("long_no_header.csv", EVEN, (LONG,)),
    "a column of ranks": Planned("long_ranks.csv", EVEN, ("48 rows", "summed over 2 ranks")),
    "one rank after another": Planned(
        "long_ranks_in_turn.csv", EVEN, ("48 rows", "lines 2 and 26 are both for one .* summed")
    ),
    "pairs without tokens are absent": Planned(
        "long_missing.csv --num-experts 8", "d86fb3ba86dacee2", ("20 rows .*; 4 of its cells have",)
    ),
    "the last expert is absent": Planned(
        "long_missing.csv",
        "7fb3995bef4439b7",
        ("a table 3 x 7; 1 of", "last expert with a row is 6; .* --num-experts"),
    ),
    "hidden layers": Planned("long_hidden.csv --config config.json", EVEN, (LONG,)),
    "windows, and a column of text": Planned(
        "long_windows.csv", EVEN, ("48 rows .* 2 x 3 x 8", "columns left out: 'task'")
    ),
    "one phase of two": Planned(
        "long_phases.csv --key prefill", EVEN, (LONG, "columns left out: 'decode'")
    ),
    "one layer by experts": Planned("long_one_layer.csv", "d3eb44725c76c950", ("8 rows",)),
    "slots by their numbers": Planned(
        "long_slots.csv --placement map_list.json", EVEN, ("36 rows", SLOTS)
    ),
    "no last expert is doubted if all are there": Planned(
        "nine_experts.csv", "e64c4a9bb46f4025", ("27 rows .* 3 x 9$",)
    ),
    "nor if only cells without load are absent": Planned(
        "nine_experts_without_zeros.csv",
        "1f88d727d031d39c",
        ("36 rows .* 5 x 9; 9 of its cells have no load$",),
    ),
    "a column of text, of which rows are summed": Planned(
        "tasks.csv", EVEN, ("48 rows", "lines 2 and 26 are both for .* summed", "left out: 'task'")
    ),
    # 1. Local experts are slots.
    "experts of each GPU, of a start placement": Planned(
        "local.csv --num-experts 8", EVEN, ("24 rows of layer, rank, local expert and", "slot i is")
    ),
    "experts of each rank, by their placement": Planned(
        "local_slots.csv --placement map_list.json", EVEN, ("36 rows of layer, rank, lo", SLOTS)
    ),
    "a column for each local expert": Planned(
        "local_wide.csv --placement map_list.json",
        EVEN,
        ("12 rows with a column for each local expert, read as a table 3 x 12", SLOTS),
    ),
    "a column for each slot": Planned(
        "wide_slots.csv --placement map_list.json", EVEN, ("column for each slot", SLOTS)
    ),
    # 1. A row for each token.
    "the experts of tokens": Planned("trace.csv", TRACE, (COUNTED, "columns left out: 'token_id'")),
    "the experts of tokens, with weights": Planned(
        "trace_weights.csv", TRACE, (COUNTED, "columns left out: 'token', 'weight'")
    ),
    # 1. Layers in words.
    "names of layers": Planned("layer_names.csv", EVEN, (LONG,)),
    "paths of layers, in a column of any name": Planned("layer_paths.csv", EVEN, (LONG,)),
    "paths of layers, a column for each expert": Planned("layer_paths_wide.csv", EVEN, (LAYERS,)),
    # 1. Columns that are not experts.
    "a total": Planned("wide_total.csv", EVEN, (LAYERS, "columns left out: 'total'")),
    "figures on both sides": Planned(
        "wide_figures.csv", EVEN, (LAYERS, "columns left out: 'tokens', 'mean', 'std'")
    ),
    "a total, no layers": Planned(
        "wide_total_without_layers.csv", EVEN, ("columns left out: 'total'",)
    ),
    "a total, as pandas writes it": Planned(
        "wide_pandas_total.csv", EVEN, ("column without a name", "columns left out: 'total'")
    ),
    "experts in another order": Planned("wide_reversed.csv", EVEN, (WIDE,)),
    "an expert without a column": Planned(
        "wide_gap.csv", "72ab26247e9ed4f7", (WIDE + "; 3 of its", "no column for expert 3: no load")
    ),
    "a column for each rank": Planned(
        "by_rank.csv", EVEN, ("24 rows with a column for each rank", "summed over 2 ranks")
    ),
    # 1. A row for each expert.
    "a column for each layer": Planned("by_expert.csv", EVEN, (BY_EXPERT,)),
    "a column for each layer, numbers alone": Planned("by_expert_numbers.csv", EVEN, (BY_EXPERT,)),
    "a column for each layer, as pandas writes it": Planned(
        "by_expert_pandas.csv", EVEN, (BY_EXPERT,)
    ),
    "a column for each layer, no labels": Planned(
        "by_expert_without_labels.csv", EVEN, (BY_EXPERT,)
    ),
    # 1. One row or column.
    "one row of all layers": Planned("flat.json --num-layers 3 --num-experts 8", EVEN, (FLAT,)),
    "one line of all layers": Planned("flat.csv --config config.json", EVEN, (FLAT,)),
    "one column of all layers": Planned(
        "one_column.csv --num-layers 3 --num-experts 8", EVEN, (FLAT,)
    ),
    "one column of one layer": Planned(
        "one_column.csv --num-experts 24", "36ae471e93b2bdf6", ("24 numbers, read as 1 x 24",)
    ),
    # 1. Axes.
    "a transposed table": Planned("transposed.csv --axes experts,layers", EVEN),
    "experts of another shape than the model, if they are stated": Planned(
        "shared_expert.csv --num-experts 9", "0860db222c4d22a6"
    ),
    "three axes that are what they seem not to be": Planned(
        "ranks_58_32_9.npy --axes windows,layers,experts --gpus 9", "f33e139c6643bb87"
    ),
    # 1. Odd shapes.
    "257 experts": Planned(
        "shared_58_257.npy", "2cab24b7d60b6b5c", ("DeepSeek-V3 has 256 experts; is a column",)
    ),
    "288 slots": Planned(
        "slots_58_288.npy", "3052d8b121f2ce1f", ("are these slots[?] --placement FILE",)
    ),
    "256 layers of 58 experts": Planned(
        "transposed_256_58.npy",
        "cc8e672f0f7abab3",
        ("is the table transposed[?] --axes experts,layers",),
    ),
    "a model with few experts": Planned("phi_32_16.npy", "399627d725d1f430"),
    "MoE layers and one of multi-token prediction": Planned("mtp_59_256.npy", "54a663f8c9e9bbf9"),
    # 1. Odd records.
    "idle experts, uneven layers": Planned(
        "uneven.csv",
        "d099a07c9666dbf8",
        ("4 of 64 experts have no load in any layer .experts 60 to 63", "layers 2, 3 have 3 times"),
    ),
    "a MoE layer without load, a dense one with": Planned(
        "hidden.csv --config config_64.json",
        "482083d46de59602",
        ("layer 1 is a MoE layer by the config, but has no load", "layer 0 is dense by the config"),
    ),
    "nothing recorded": Planned(
        "zeros.csv", "6a43ed6c720ab15a", ("^all loads are 0: nothing was",)
    ),
    # 5. Configs and extra layers.
    "layers of multi-token prediction": Planned(
        "mtp_4_64.npy --config config_mtp.json", "79630f22004b06d8"
    ),
    "all hidden layers, and those of multi-token prediction": Planned(
        "mtp_6_64.npy --config config_mtp.json", "c2cf0230b1b2d910"
    ),
    "layers of multi-token prediction for an engine without them": Planned(
        "mtp_4_64.npy --config config_mtp.json --format sglang",
        "79630f22004b06d8",
        ("layers 0, 1 have the default", "^layer 5 of multi-token prediction left out", "SGLang"),
    ),
    "the same of all hidden layers": Planned(
        "mtp_6_64.npy --config config_mtp.json --format sglang",
        "c2cf0230b1b2d910",
        ("layers 0, 1 have the default", "^layer 5 of multi-token prediction left out", "SGLang"),
    ),
    "a number for each kind of experts": Planned("table.csv --config config_lists.json", EVEN),
    # 2. Slots.
    "slots by SGLang's map": Planned(
        "slots.json --placement map_sglang.json", EVEN, (SLOTS + "map_sglang",)
    ),
    "slots by a list": Planned("slots.json --placement map_list.json", EVEN, (SLOTS,)),
    "slots by TensorRT-LLM's map": Planned(
        "slots.json --config config.json --placement map_trtllm.yaml", EVEN, (SLOTS,)
    ),
    "slots by vllm-ascend's map": Planned("slots.json --placement map_ascend.json", EVEN, (SLOTS,)),
    "slots of ranks": Planned("moe_load_40.npy --placement map_ascend.json", EVEN, (SLOTS,)),
    "slots of ranks, without redundant ones": Planned(
        "moe_load_40.npy --num-experts 12", "ae66cceee62b6ca7", ("slot i is taken as expert i",)
    ),
    "windows of slots": Planned(
        "windows_of_slots.npy --redundant 4 --placement map_list.json", TWICE, (SLOTS,)
    ),
    "windows of slots of ranks": Planned(
        "four_axes.npy --redundant 4 --placement map_list.json", TWICE, (SLOTS,)
    ),
    "four axes by name": Planned(
        "four_axes.npy --redundant 4 --placement map_list.json --axes windows,layers,ranks,slots",
        TWICE,
        (SLOTS,),
    ),
    "vLLM's record with its map": Planned("vllm.json", EVEN, (SLOTS + "its placement",)),
    "vLLM's records, each with its map": Planned(
        "vllm.jsonl --redundant 4", TWICE, ("2 windows of 2 records", SLOTS)
    ),
    "a key beside a map": Planned("mine_and_map.json --key mine", EVEN, (SLOTS,)),
    # 3. Several keys and files.
    "two keys are windows": Planned(
        "keys.json --redundant 4 --key prefill --key decode",
        "f4378036d4d7234a",
        ("windows in this order: prefill, decode; --weights",),
    ),
    "two keys, weighted": Planned(
        "keys.json --redundant 4 --key prefill --key decode --weights 1,9",
        "036323bbd86abbcf",
        ("the loads are 1 x prefill [+] 9 x decode",),
    ),
    "two columns, weighted": Planned(
        "long_phases.csv --key prefill --key decode --weights 0.5,0.25",
        EVEN,
        (LONG, "24 rows", "2 x prefill [+] 1 x decode"),
    ),
    "times are windows": Planned(
        "times.csv --redundant 4", TWICE, ("48 rows .* 2 x 3 x 8", "windows by column 'timestamp'")
    ),
    "times are windows in their order, not that of their first rows": Planned(
        "times_dates.csv --redundant 4", TWICE, ("48 rows .* 2 x 3 x 8", "windows by column 'time'")
    ),
    "times are windows, a column for each expert": Planned(
        "wide_times.csv --redundant 4",
        TWICE,
        ("each row is: columns 'timestamp', 'layer'", "windows by .* 1764300000 to 1764300060"),
    ),
    "times of rows are summed": Planned(
        "times_of_rows.csv",
        EVEN,
        ("48 rows .* 3 x 8", "both for one layer and expert; such rows are", "'timestamp'"),
    ),
    "two files, weighted": Planned("table.csv quoted.csv --weights 3,1", EVEN, ("3 x table.csv",)),
    "two files are windows": Planned("table.csv quoted.csv --redundant 4", TWICE),
    # 7. Records and objects of JSON.
    "records": Planned("records.json", EVEN, (RECORDS,)),
    "records in lines": Planned("records.jsonl", EVEN, (RECORDS,)),
    "records under a name": Planned("records_and_model.json --key data", EVEN, (RECORDS,)),
    "columns of records": Planned("records_by_column.json", EVEN, (RECORDS,)),
    "records of layers": Planned(
        "records_of_layers.jsonl",
        EVEN,
        ("what each record is: column 'layer'", "columns left out: 'note'"),
    ),
    "a list for each layer": Planned("layers.json", EVEN, (VALUES,)),
    "a list for each layer, and more": Planned(
        "layers_and_model.json", EVEN, (VALUES, "left out: 'model'")
    ),
    "an object for each layer": Planned("layers_of_experts.json", EVEN, (VALUES,)),
    "an object for each layer, a last expert without load": Planned(
        "layers_of_experts.json --num-experts 9", "b275f40eb76c8543", ("3 x 9; 3 of its cells",)
    ),
    "an object for each expert": Planned("experts_of_layers.json", EVEN, (VALUES,)),
    "layers under a name": Planned("phases_of_layers.json --key prefill", EVEN, (VALUES,)),
    "tables in lines, by their times": Planned(
        "tables.jsonl --redundant 4", TWICE, ("^2 windows by 'ts', from 0 to 60",)
    ),
    "tables in a list, under a name": Planned(
        "tables.json --redundant 4", TWICE, ("^2 windows by 'ts', from 0 to 60",)
    ),
    "records with a key for each expert": Planned(
        "records_wide.json", EVEN, ("3 records with a column for each expert",)
    ),
    "an array for each layer": Planned("layers.npz", EVEN, (VALUES,)),
    # 7. Text tables.
    "a plain table": Planned("table.csv", EVEN),
    "as pandas writes it": Planned(
        "pandas.csv", EVEN, ("what each row is: column without a name",)
    ),
    "as pandas writes it, named": Planned("pandas_named.csv", EVEN, ("not loads, but what",)),
    "a column of layers": Planned("layer_column.csv", EVEN, ("what each row is: column 'layer'",)),
    "quoted cells": Planned("quoted.csv", EVEN),
}

REFUSED: dict[str, Refused] = {
    "local experts": Refused(
        "plan local.csv",
        "it counts 8 slots .2 local experts of each of 4 ranks., not experts",
        "--placement FILE; or if expert i is in slot i, --num-experts 8",
    ),
    "local experts in columns": Refused(
        "plan local_wide.csv", "12 slots .3 local experts of each of 4 ranks", "--placement FILE"
    ),
    "local experts without ranks": Refused(
        "plan local_without_ranks.csv", "'local_id' numbers the experts of each rank, but no column"
    ),
    "local experts of the GPUs of each node": Refused(
        "plan local_of_nodes.csv --num-experts 8",
        "lines 2 and 6 are both for layer 0, rank 0, local expert 0",
        "ranks of all nodes need own numbers",
    ),
    "tokens or counts": Refused(
        "plan trace_or_counts.csv",
        "lines 2 and 3 are both for layer 0, expert 0; is 'token' a token, or a count",
        "name it token_id .its rows are counted. or tokens",
    ),
    "tokens, a column for each choice": Refused(
        "plan trace_wide.csv", "a row for each token .column 'token_idx'.", "token_id,layer,expert"
    ),
    "choices alone": Refused(
        "plan trace_without_tokens.csv", "it has no column of loads", "add a column token_id"
    ),
    "layers of two numbers": Refused(
        "plan layer_two_numbers.csv",
        "line 2, column 1: expected the number of a layer, found 'stage.0.layers.0'",
        "write the number alone, such as 3",
    ),
    "layers without numbers": Refused(
        "plan layer_words.csv", "the number of a layer, found 'first'", "such as 3"
    ),
    "two layers of one number": Refused(
        "plan layer_same_number.csv",
        "line 6, column 1: 'draft.layers.0' and 'model.layers.0' have the same number",
        "keep the rows of one of them",
    ),
    "layers in words, without a header": Refused(
        "plan layer_paths_without_header.csv",
        "line 1 has 'model.layers.0.mlp'; are these loads, not a header",
        "such as layer,0,1,2",
    ),
    "layers under another name": Refused(
        "plan layer_dropped.csv",
        "lines 2 and 10 are both for expert 0, and no column is the layer",
        "name it layer",
    ),
    "several groups of columns": Refused(
        "plan wide_groups.csv",
        "several groups .* 'expert_0_count', 'expert_1_count', ... or 'expert_0_bytes'",
        "delete the columns of all but one",
    ),
    "columns of ranks": Refused("plan wide_ranks.csv", "its columns 'rank_0', ... number a rank"),
    "a phase in rows": Refused(
        "plan phases_in_rows.csv --key decode",
        "'decode' is not a column, but in column 'phase'",
        "keep only its rows, in a file of their own, and leave out --key",
    ),
    "a column of text": Refused("plan phases_in_rows.csv --key phase", "expected one of count$"),
    "tables and other values": Refused(
        "plan phases_of_layers.json", "several tables: 'prefill', 'decode'$", "with --key"
    ),
    "records beside other values": Refused(
        "plan records_and_model.json", "a table with the name 'data'", "give --key data"
    ),
    "a record without loads": Refused(
        "plan records_short.jsonl", "record 5 has no 'count', but record 0 has"
    ),
    "a record with text": Refused(
        "plan records_text.jsonl", "record 5, column 3: expected a finite number, found 'many'"
    ),
    "layers of different lengths": Refused(
        "plan layers_ragged.json", "'layer_1' has 7 loads, but 'layer_0' has 8"
    ),
    "a negative load of an object": Refused(
        "plan layers_negative.json", "'layer_1', expert 1: the load is -2; expected a finite"
    ),
    "one row, only its experts": Refused(
        "plan flat.json --num-experts 8", "expected 8 experts, as stated", "Give --num-layers 3"
    ),
    "one row, only its layers": Refused(
        "plan flat.json --num-layers 3", "expected 3 layers, as stated", "Give --num-experts 8"
    ),
    "one row of another size": Refused(
        "plan flat.json --num-layers 5 --num-experts 8",
        "expected 5 layers x 8 experts, as stated",
        "24 numbers in a row; 5 x 8 are 40",
    ),
    "one column, only its experts": Refused(
        "plan one_column.csv --num-experts 8", "1 column of 24", "Give --num-layers 3"
    ),
    "one column": Refused("plan one_column.csv", "1 column of 24 numbers; exp", "experts,layers"),
    "two columns": Refused("plan two_columns.csv", "2 columns of 24 numbers; exp", "expert,count"),
    "two phases": Refused("plan long_phases.csv", "loads: 'prefill', 'decode'", "with --key"),
    "other layers": Refused(
        "plan long_other_layers.csv --config config.json",
        "loads are those of layers 2, 3, 4, but the MoE layers are layers 1, 2, 3, as --config says",
    ),
    "experts from 1": Refused(
        "plan long_from_1.csv --num-experts 8",
        "an expert 8, but 8 experts have numbers 0 to 7; are these numbered from 1[?]",
    ),
    "thousands": Refused("plan thousands.csv", "found '80,000'", "without thousands separators"),
    "thousands and semicolons": Refused("plan thousands_semicolons.csv", "found '80,000'", "thou"),
    "slots of ranks": Refused(
        "plan moe_load_40.npy", "counts 12 slots, not exp", "--placement FILE"
    ),
    "three axes of another kind": Refused(
        "plan ranks_58_32_9.npy --gpus 9",
        r"the shape \[58, 32, 9\] also fits the 58 layers of DeepSeek-V3, with 32 x 9",
        "say which: --axes layers,ranks,slots, or --axes windows,layers,experts",
    ),
    "axes that are not": Refused(
        "plan table.csv --axes layers,rnks,slots", "unknown --axes 'rnks'", "did you mean 'ranks'"
    ),
    "axes twice": Refused("plan table.csv --axes layers,layers,slots", "are not the axes of loads"),
    "fewer axes than named": Refused(
        "plan table.csv --axes windows,layers,experts", r"shape \[3, 8\], but --axes .* are 3"
    ),
    "experts by a placement": Refused(
        "plan table.csv --placement map_list.json", "has 12", "counts experts, leave out --place"
    ),
    "a placement without slots": Refused(
        "plan table.csv --placement map_list.json --axes layers,experts", "is for counts of slots"
    ),
    "loads as a placement": Refused(
        "plan slots.json --placement config.json",
        "^eplb: config.json: this is not a placement; exp",
    ),
    "a table as a placement": Refused(
        "plan slots.json --placement long.csv", "long.csv: it is not a pla"
    ),
    "a placement of other layers": Refused(
        "plan long_slots_of_layers_2_to_4.csv --placement map_trtllm.yaml",
        "loads are those of layers 2, 3, 4, but map_trtllm.yaml has layers 1, 2, 3",
    ),
    "a map as loads": Refused("plan map_sglang.json", "this is a placement of SGLang"),
    "a map with another key": Refused("plan mine_and_map.json", "this is a placement of SGLang"),
    "weights of one": Refused("plan keys.json --key prefill --weights 2", "1 number for 1 file"),
    "weights of two": Refused(
        "plan keys.json --key prefill --key decode --weights 2", "--weights has 1 number for 2 keys"
    ),
    "a weight of 0": Refused("plan table.csv quoted.csv --weights 0,1", "must be positive"),
    "weights in words": Refused("plan table.csv quoted.csv --weights much", "'much' is not a list"),
    "a column too many, and sizes for it": Refused(
        "plan shared_58_257.npy --redundant 32 --gpus 32",
        r"DeepSeek-V3 has 256 experts; .* or a shared expert[?] .* As read, --redundant 32 \(289 slots\)",
        "^try --redundant 31",
    ),
    "slots of ranks that look like windows, and sizes for all": Refused(
        "plan ranks_58_32_8.npy --redundant 32 --gpus 32",
        r"^eplb: the shape \[58, 32, 8\] also fits the 58 layers of DeepSeek-V3.* --axes layers,ranks,slots",
        "^try --redundant 24",
    ),
    "experts from 1, and sizes for them": Refused(
        "plan from_1_58_257.npy --redundant 32 --gpus 32",
        "^eplb: 58 layers x 257 experts: .* Expert 0 has no load: are experts numbered from 1[?]",
        "^try --redundant 31",
    ),
    "other numbers in a config": Refused(
        "plan table.csv --config config_other_lists.json",
        "num_experts has 8 and 4; expected one number for all of its 3 entries",
    ),
    "a placement as a config": Refused(
        "plan table.csv --config map_sglang.json",
        "this is a placement of SGLang, not a model's config.json; are the arguments swapped",
    ),
    "loads as a config": Refused(
        "plan table.csv --config slots.json", "the configuration must be an object with keys"
    ),
    "a hidden layer too many": Refused(
        "plan mtp_4_64.npy --layers 2-5 --num-hidden-layers 5 --format sglang",
        "layer 5 is not one of the 5 hidden layers, 0 to 4",
        "multi-token prediction, give --config instead",
    ),
    "loads as the placement in force": Refused(
        "replan table.csv --previous table.csv --gpus 4",
        "table.csv: it is not a placement; expected numbers of experts",
        "is this a load table, and are the arguments swapped",
    ),
    "small loads as the placement in force": Refused(
        "replan table.csv --previous small_loads.npy --gpus 4",
        "the expert has no slot; expected at least one slot for each",
        "is this a load table, and are the arguments swapped",
    ),
    "a config as the placement": Refused(
        "evaluate config.json table.csv", "this is a model's config.json, not a placement; are"
    ),
    "a table without GPUs": Refused(
        "evaluate map.npy table.csv", "does not say for how many GPUs it is", "give --gpus"
    ),
    "a row that is the total": Refused(
        "plan total_row.csv",
        "last row is the sum of all rows above it; is it a total",
        "delete this",
    ),
    "a column that is the total": Refused(
        "plan total_column.csv", "last column is the sum of all columns before it", "--trust-loads"
    ),
    "a row with the name of a figure": Refused(
        "plan total_named.csv", "line 5, column 1: .*, found 'total'", "delete the rows of figures"
    ),
    "a table of pandas in parts": Refused(
        "plan pandas_split.json", "table of pandas in parts", 'with to_json.orient="records".'
    ),
    "objects of what is not known": Refused(
        "plan objects.json", "a list of objects with 'a', 'b'$", "records such as"
    ),
    "several arrays": Refused(
        "plan arrays.npz", "several tables: 'a', 'b'", "--key; several keys are"
    ),
    "an option twice": Refused("plan table.csv --gpus 2 --gpus 4", "^eplb: --gpus is given twice"),
}

TOTALS = "236,166,114,126,201,111,159,126"  # of table.csv
# What hints ask for, as edits of the files that were refused: the digest of the plan.
FOLLOWED = {
    "name it layer": ("layer_dropped.csv", ("block", "layer"), EVEN),
    "name that column expert": ("local_without_ranks.csv", ("local_id", "expert"), EVEN),
    "name it token_id": ("trace_or_counts.csv", ("token,", "token_id,"), TRACE),
    "name it tokens": ("trace_or_counts.csv", ("token,", "tokens,"), "8c51f18f8cf9f5ef"),
    "write a header": ("layer_paths_without_header.csv", ("", "layer,0,1,2,3,4,5,6,7\n"), EVEN),
    "write the number alone": ("layer_two_numbers.csv", ("stage.0.layers.", ""), EVEN),
    "delete this row": ("total_row.csv", (f"{TOTALS}\n", ""), EVEN),
    "delete the rows of figures": ("total_named.csv", (f"total,{TOTALS}\n", ""), EVEN),
    "write numbers": ("layer_same_number.csv", ("draft.", "model."), EVEN),
}

# Sizes are checked by every command that reads loads.
CHECKS = {
    "plan": "plan {} --gpus 4",
    "replan": "replan {} --previous plan.json",
    "evaluate": "evaluate plan.json {}",
    "verify": "verify plan.json {}",
    "compare": "compare {} --gpus 4",
}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Works among the inputs."""
    monkeypatch.chdir(INPUTS)


def arguments(words: str) -> list[str]:
    parts = words.split()
    return parts if "--gpus" in parts or parts[0] != "plan" else [*parts, "--gpus", "4"]


@pytest.mark.parametrize("name", PLANNED)
@pytest.mark.usefixtures("here")
def test_is_planned(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = PLANNED[name]
    code = cli.main([*arguments(f"plan {wanted.words}"), "--json"])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    plan = json.loads(out)
    notes = [
        note for note in plan["notes"] if not note.startswith(_ALWAYS) and "gap is" not in note
    ]
    assert len(notes) == len(wanted.notes), notes
    for note, expected in zip(notes, wanted.notes, strict=True):
        assert re.search(expected, note), note
    assert plan["digest"] == wanted.digest


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.usefixtures("here")
def test_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = REFUSED[name]
    assert cli.main(arguments(wanted.words)) == 2
    out, err = capsys.readouterr()
    error, _, hint = err.partition("\nhint: ")
    assert out == ""
    assert re.search(wanted.error, error), err
    assert re.search(wanted.hint, hint), err


@pytest.mark.parametrize("hint", FOLLOWED)
def test_hints_work(hint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, (old, new), digest = FOLLOWED[hint]
    text = (INPUTS / file).read_text()
    edited = tmp_path / file
    edited.write_text(text.replace(old, new) if old else new + text)
    assert cli.main(["plan", str(edited), "--gpus", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["digest"] == digest


@pytest.mark.parametrize("command", CHECKS)
@pytest.mark.parametrize("file", ["transposed.csv", "shared_expert.csv"])
@pytest.mark.parametrize("stated", ["--config config.json", "--num-experts 8", "--num-layers 5"])
def test_every_command_checks_the_stated_sizes(
    command: str,
    file: str,
    stated: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["plan", str(INPUTS / "table.csv"), "--gpus", "4", "--out", "plan.json"]) == 0
    capsys.readouterr()
    option, value = stated.split()
    value = str(INPUTS / value) if option == "--config" else value
    words = CHECKS[command].format(INPUTS / file).split()
    assert cli.main([*words, option, value]) == 2
    error = capsys.readouterr().err
    says = "as --config says" if option == "--config" else "as stated"
    assert re.search(rf"{file}: the loads are . layers x . experts; expected .*, {says}", error)


@pytest.mark.usefixtures("here")
def test_python_has_the_same_checks() -> None:
    for stated in ({"num_layers": 3}, {"num_experts": 8}, {"config": "config.json"}):
        options: dict[str, Any] = stated
        assert read_loads("table.csv", **options).notes == ()
        with pytest.raises(LoadError, match="8 layers x 3 experts; expected"):
            read_loads("transposed.csv", **options)
    read = read_loads("transposed.csv", axes=["experts", "layers"], config="config.json")
    assert read.table.tolist() == read_loads("table.csv").table.tolist()
    with pytest.raises(EplbError, match="says 8 experts, not 9"):
        read_loads("table.csv", config="config.json", num_experts=9)


def test_slots_counted_under_any_placement_that_eplb_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a plan makes of loads is turned back into the same loads, from the file of any format."""
    monkeypatch.chdir(tmp_path)
    table, config = str(INPUTS / "table.csv"), str(INPUTS / "config.json")
    loads = read_loads(table).table.astype(np.int64)
    line = ["plan", table, "--gpus", "4", "--redundant", "4", "--config", config]
    for format_name, ending in (
        ("plan", "json"),
        ("plan", "npz"),
        ("sglang", "json"),
        ("sglang", "pt"),
        ("trtllm", "yaml"),
        ("vllm-ascend", "json"),
        ("rtp-llm", "json"),
        ("vllm", "json"),
    ):
        file = f"placement.{ending}"
        assert cli.main([*line, "--format", format_name, "--out", file]) == 0
        plan = eplb.plan(loads, num_gpus=4, num_replicas=12)
        slots = np.take_along_axis(loads, plan.phy2log, 1) * 720  # as many for each replica
        slots //= np.take_along_axis(plan.logcnt, plan.phy2log, 1)
        np.save("slots.npy", np.stack([slots, 2 * slots]))
        read = read_loads("slots.npy", placement=file, config=config)
        assert [window.tolist() for window in read.windows] == [
            (loads * 720).tolist(),
            (loads * 1440).tolist(),
        ]
    capsys.readouterr()


@pytest.mark.usefixtures("here")
def test_compare_reads_keys_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", "keys.json", "--key", "prefill", "--gpus", "4"]) == 0
    assert "3 layers: 8 experts" in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_a_table_is_a_placement_wherever_a_placement_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As ``--placement`` takes it: the same as the same placement in the file of an engine."""
    phy2log = np.load("map.npy")
    np.savez(tmp_path / "map.npz", phy2log=phy2log)
    torch = pytest.importorskip("torch")
    torch.save(torch.tensor(phy2log), tmp_path / "map.pt")
    for line, key in (
        ("evaluate {} table.csv", "digest"),
        ("replan table.csv --previous {}", "copies"),
    ):
        found = []
        for file in ("map_list.json", "map.npy", tmp_path / "map.npz", tmp_path / "map.pt"):
            assert cli.main([*line.format(file).split(), "--gpus", "4", "--json"]) == 0
            found.append(json.loads(capsys.readouterr().out)[key])
        assert found == [found[0]] * 4


def test_a_plan_as_a_config_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    table = str(INPUTS / "table.csv")
    assert cli.main(["plan", table, "--gpus", "4", "--out", "plan.json"]) == 0
    for command in ("plan {} --gpus 4", "verify plan.json {}", "evaluate plan.json {}"):
        words = command.format(table).split()
        capsys.readouterr()
        assert cli.main([*words, "--config", "plan.json"]) == 2
        assert "plan.json: this is a plan, not a model's config.json" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_weights_in_python_are_numbers() -> None:
    keys = ["prefill", "decode"]
    for weights in ("3,1", 3):
        wrong: Any = weights
        with pytest.raises(EplbError, match=r"weights is .*; expected a list of numbers, such as"):
            read_loads("long_phases.csv", key=keys, weights=wrong)
    notes = read_loads("long_phases.csv", key=keys).notes
    assert notes[-1] == "windows in this order: prefill, decode; weights sums them instead"
    assert not any("left out" in note for note in notes)
