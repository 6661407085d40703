# tests/tools/formulas_cases.py -- mhc-eval: every operator and every gradient against float64.
import numpy as np

import reference as ref
from support import ToolCase

BF16, FP16 = 2.0 ** -8, 2.0 ** -10.5  # bounds of a data output's relative norm


def fp32_bound(n, channels):
    return max(1e-5, 1e-6 * (n * channels) ** 0.5)


class Results(ToolCase):
    """Each operator beside its formula, with sizes that leave tails: n = 3, C = 37, T = 5."""

    def close(self, result, reference, bound):
        self.assertEqual(result.dtype, np.float32)
        self.assertEqual(result.shape, reference.shape)
        self.assertLess(ref.relative_norm(result, reference), bound)

    def test_sinkhorn(self):
        logits = self.normal(5, 3, 3)
        for preset, options in ref.PRESETS.items():
            out, _ = self.evaluate("sinkhorn_fwd", {"logits": logits}, f"preset={preset}")
            self.close(out["mix"], ref.sinkhorn(logits, options), 2e-6)

    def test_rmsnorm_with_and_without_weight(self):
        x, weight = self.normal(5, 37), self.normal(37)
        scale = ref.rms(x, 1e-6)
        out, _ = self.evaluate("rmsnorm_fwd", {"x": x, "weight": weight})
        self.close(out["y"], x / scale[:, None] * weight, fp32_bound(1, 37))
        self.close(out["rms"], scale, fp32_bound(1, 37))
        out, _ = self.evaluate("rmsnorm_fwd", {"x": x}, "norm_eps=0.5")
        self.close(out["y"], x / ref.rms(x, 0.5)[:, None], fp32_bound(1, 37))

    def test_apply_mix_static_and_per_token(self):
        x = self.normal(5, 3, 37)
        for pre in (self.normal(5, 3), self.normal(3)):
            out, _ = self.evaluate("apply_mix_fwd", {"x": x, "pre": pre})
            self.close(out["layer_input"], ref.apply_mix(x, pre), fp32_bound(3, 37))

    def test_post_in_both_layouts_static_and_per_token(self):
        y, x = ref.to_bf16(self.normal(5, 64)), ref.to_bf16(self.normal(5, 4, 64))
        for preset in ("paper", "deepseek"):
            for post, mix in ((self.normal(5, 4), self.normal(5, 4, 4)), (self.normal(4), self.normal(4, 4))):
                expected = ref.post(y, x, post, mix, ref.PRESETS[preset])
                out, _ = self.evaluate("post_fwd", {"y": y, "x": x, "post": post, "mix": mix}, f"preset={preset}", "dtype=bf16")
                self.close(out["out"], expected, BF16)
                self.assertTrue(np.array_equal(out["out"], ref.to_bf16(out["out"])), "a bf16 result is exact in float32")

    def test_pre(self):
        n, channels = 3, 37
        x, fn = self.normal(5, n, channels), self.normal(n * n + 2 * n, n * channels, scale=0.1)
        scale, base = self.normal(3), self.normal(n * n + 2 * n)
        given = {"x": x, "fn": fn, "scale": scale, "base": base}
        for preset in ("paper", "deepseek", "liger"):
            out, _ = self.evaluate("pre_fwd", given, f"preset={preset}")
            for name, expected in ref.pre(x, fn, scale, base, ref.PRESETS[preset]).items():
                self.close(out[name], expected, fp32_bound(n, channels))

    def test_pre_with_norm_weight_and_half_types(self):
        n, channels = 4, 40
        x, fn = self.normal(5, n, channels), self.normal(n * n + 2 * n, n * channels, scale=0.1)
        scale, base, weight = self.normal(3), self.normal(n * n + 2 * n), self.normal(channels)
        out, _ = self.evaluate("pre_fwd", {"x": x, "fn": fn, "scale": scale, "base": base, "norm_weight": weight}, "dtype=fp16",
                               "weight_dtype=bf16")
        x16 = x.astype(np.float16).astype(np.float64)
        expected = ref.pre(x16, ref.to_bf16(fn), scale, base, ref.PRESETS["paper"], ref.to_bf16(weight))
        self.close(out["layer_input"], expected["layer_input"], FP16)
        for name in ("pre", "post", "mix"):
            self.close(out[name], expected[name], fp32_bound(n, channels))

    def test_post_pre_is_post_then_pre_of_what_it_stored(self):
        n, channels = 4, 40
        y, x = ref.to_bf16(self.normal(5, channels)), ref.to_bf16(self.normal(5, n, channels))
        post, mix, weight = self.normal(5, n), self.normal(n, n), self.normal(channels)
        fn = self.normal(n * n + 2 * n, n * channels, scale=0.1)
        scale, base = self.normal(3), self.normal(n * n + 2 * n)
        given = {"y": y, "x": x, "post": post, "mix": mix, "fn": fn, "scale": scale, "base": base}
        for preset, norm_weight in (("paper", None), ("deepseek", weight)):
            options, inputs = ref.PRESETS[preset], given if norm_weight is None else {**given, "norm_weight": norm_weight}
            out, _ = self.evaluate("post_pre_fwd", inputs, f"preset={preset}", "dtype=bf16")
            self.close(out["out"], ref.post(y, x, post, mix, options), BF16)
            expected = ref.pre(out["out"], fn, scale, base, options, norm_weight)
            self.close(out["layer_input"], expected["layer_input"], BF16)
            for name in ("pre", "post", "mix"):
                self.close(out["next_" + name], expected[name], fp32_bound(n, channels))

    def test_pre_with_a_layer_input_in_fp8(self):
        n, channels, m = 3, 300, 15
        given = {"x": self.normal(5, n, channels), "fn": self.normal(m, n * channels, scale=0.1), "scale": self.normal(3), "base": self.normal(m)}
        exact = ref.pre(*given.values(), ref.PRESETS["paper"])["layer_input"]
        for quant, shape in (("fp8_row", (5,)), ("fp8_block128", (5, 3))):
            out, _ = self.evaluate("pre_fwd", given, f"layer_input_quant={quant}", "dtype=fp32")
            self.assertEqual(out["layer_input_scale"].shape, shape)
            scales = np.repeat(out["layer_input_scale"].reshape(5, -1), channels if quant == "fp8_row" else 128, axis=1)[:, :channels]
            self.assertTrue((np.abs(out["layer_input"]) <= 448).all())
            # Half a unit of three fraction bits, or of the smallest numbers.
            bound = np.maximum(np.abs(exact) / 16, scales * 2.0 ** -10) + 1e-5 * np.abs(exact).max()
            self.assertTrue((np.abs(out["layer_input"] * scales - exact) <= bound).all())
        self.bad(2, ["layer_input_quant = fp8_row: allowed is none unless pre_fwd"], "mhc-eval", "apply_mix_fwd", "--target", "host", "--set",
                 "layer_input_quant=fp8_row", "--in", self.save("x", given["x"]), "--in", self.save("pre", self.normal(5, n)), "--out-dir", self.path("none"))

    def test_pre_with_phi_and_the_weight_of_its_norm(self):
        n, channels = 3, 37
        x, fn = self.normal(5, n, channels), self.normal(n * n + 2 * n, n * channels, scale=0.1)
        scale, base, weight = self.normal(3), self.normal(n * n + 2 * n), self.normal(n * channels)
        options = ref.PRESETS["liger"]
        given = {"x": x, "fn": np.ascontiguousarray(fn.T), "scale": scale, "base": base, "fn_norm_weight": weight}
        out, _ = self.evaluate("pre_fwd", given, "preset=liger", "fn_order=phi")
        for name, values in ref.pre(x, fn * weight.astype(np.float64), scale, base, options).items():
            self.close(out[name], values, fp32_bound(n, channels))
        rows, _ = self.evaluate("pre_fwd", {**given, "fn": fn}, "preset=liger")
        for name, values in rows.items():
            self.assertTrue(np.array_equal(out[name], values), name)
        self.bad(2, ["fn has shape", "n*C", "expected [111,15]"], "mhc-eval", "pre_fwd", "--target", "host", "--set", "fn_order=phi",
                 *(part for name, array in {**given, "fn": fn}.items() for part in ("--in", self.save(name, array))),
                 "--out-dir", self.path("none"))

    def test_post_with_a_bias_and_padded_tokens(self):
        n, channels = 4, 40
        y, x, bias = self.normal(5, channels), self.normal(5, n, channels), self.normal(channels)
        post, mix = self.normal(5, n), self.normal(n, n)
        given = {"y": y, "x": x, "post": post, "mix": mix, "bias": bias}
        expected = ref.post(y + bias.astype(np.float64), x, post, mix, ref.PRESETS["paper"])
        out, _ = self.evaluate("post_fwd", given)
        self.close(out["out"], expected, fp32_bound(n, channels))
        for valid in (0, 3, 9):
            some, _ = self.evaluate("post_fwd", {**given, "num_valid_tokens": np.array([valid], np.float32)})
            self.assertTrue(np.array_equal(some["out"][:valid], out["out"][:valid]))
            self.assertTrue(np.isnan(some["out"][valid:]).all())
        self.bad(2, ["num_valid_tokens = 1.5", "whole number"], "mhc-eval", "post_fwd", "--target", "host",
                 *(part for name, array in {**given, "num_valid_tokens": np.array([1.5], np.float32)}.items()
                   for part in ("--in", self.save(name, array))), "--out-dir", self.path("none"))

    def test_pre_of_one_row_and_with_an_earlier_pre(self):
        n, channels = 3, 37
        row, x, fn = self.normal(5, channels), self.normal(5, n, channels), self.normal(n * n + 2 * n, n * channels, scale=0.1)
        scale, base, earlier = self.normal(3), self.normal(n * n + 2 * n), self.normal(5, n)
        given, options, bound = {"fn": fn, "scale": scale, "base": base}, ref.PRESETS["deepseek"], fp32_bound(n, channels)
        out, _ = self.evaluate("broadcast_pre_fwd", {"x": row, **given}, f"n_streams={n}", "preset=deepseek")
        for name, expected in ref.pre(np.repeat(row[:, None], n, axis=1), fn, scale, base, options).items():
            self.close(out[name], expected, bound)
        for previous in (earlier, earlier[0]):
            out, _ = self.evaluate("delayed_pre_fwd", {"x": x, "previous_pre": previous, **given}, "preset=deepseek")
            for name, expected in ref.pre(x, fn, scale, base, options).items():
                self.close(out[name], ref.apply_mix(x, previous) if name == "layer_input" else expected, bound)

    def test_head(self):
        n, channels = 3, 37
        x, fn, scale, base = self.normal(5, n, channels), self.normal(n, n * channels, scale=0.1), self.normal(1), self.normal(n)
        given = {"x": x, "fn": fn, "scale": scale, "base": base}
        for weight in (None, self.normal(channels)):
            out, _ = self.evaluate("head_fwd", given if weight is None else {**given, "norm_weight": weight}, "preset=deepseek")
            self.close(out["layer_input"], ref.head(x, fn, scale, base, ref.PRESETS["deepseek"], weight), fp32_bound(n, channels))

    def test_post_head_is_head_of_post(self):
        n, channels = 4, 40
        y, x, post, mix = self.normal(5, channels), self.normal(5, n, channels), self.normal(5, n), self.normal(n, n)
        fn, scale, base = self.normal(n, n * channels, scale=0.1), self.normal(1), self.normal(n)
        bias, options = self.normal(channels), ref.PRESETS["deepseek"]
        given = {"y": y, "x": x, "post": post, "mix": mix, "fn": fn, "scale": scale, "base": base}
        for weight, extra in ((None, None), (self.normal(channels), bias)):
            inputs = {**given, **({} if weight is None else {"norm_weight": weight, "bias": extra})}
            out, _ = self.evaluate("post_head_fwd", inputs, "preset=deepseek")
            streams = ref.post(y if extra is None else y + extra.astype(np.float64), x, post, mix, options)
            self.close(out["layer_input"], ref.head(streams, fn, scale, base, options, weight), fp32_bound(n, channels))

    def test_multilayer_recompute_is_apply_mix_and_post_of_each_layer(self):
        layers, tokens, n, channels = 3, 5, 4, 40
        x, y, bias = self.normal(tokens, n, channels), self.normal(layers, tokens, channels), self.normal(layers, channels)
        pre, post, mix = self.normal(layers, tokens, n), self.normal(layers, tokens, n), self.normal(layers, tokens, n, n, scale=0.5)
        out, _ = self.evaluate("multilayer_recompute", {"x": x, "pre": pre, "y": y, "post": post, "mix": mix, "bias": bias})
        streams = x
        for layer in range(layers):
            self.close(out["layer_input"][layer], ref.apply_mix(streams, pre[layer]), fp32_bound(n, channels))
            streams = ref.post(y[layer] + bias[layer].astype(np.float64), streams, post[layer], mix[layer], ref.PRESETS["paper"])
            self.close(out["out"][layer], streams, fp32_bound(n, channels))

    def test_rmsnorm_matmul_with_and_without_the_weight_of_the_norm(self):
        x, weight, norm_weight = self.normal(5, 40), self.normal(33, 40, scale=0.2), self.normal(40)
        for by in (None, norm_weight):
            out, _ = self.evaluate("rmsnorm_matmul_fwd", {"x": x, "weight": weight, **({} if by is None else {"norm_weight": by})})
            root = ref.rms(x, ref.PRESETS["paper"]["rms_eps"])
            self.close(out["rms"], root, fp32_bound(1, 40))
            self.close(out["y"], (x / root[:, None] * (1 if by is None else by)) @ weight.T.astype(np.float64), fp32_bound(1, 40))

    def test_the_stages_of_pre_from_any_number_of_splits(self):
        n, channels, m = 3, 37, 15
        x, fn = self.normal(5, n, channels), self.normal(m, n * channels, scale=0.1)
        scale, base = self.normal(3), self.normal(m)
        bound, options = fp32_bound(n, channels), ref.PRESETS["deepseek"]
        expected = ref.pre(x, fn, scale, base, options)
        for splits in (1, 3):
            sums, _ = self.evaluate("pre_project_fwd", {"x": x, "fn": fn}, f"splits={splits}")
            self.assertEqual((sums["proj"].shape, sums["sqsum"].shape), ((splits, 5, m), (splits, 5)))
            for found, whole in zip((sums["proj"], sums["sqsum"]), ref.project(x, fn)):
                self.close(found.sum(axis=0), whole[0], bound)
            given, sizes = {**sums, "scale": scale, "base": base}, (f"n_streams={n}", f"hidden_dim={channels}", "preset=deepseek")
            fused, _ = self.evaluate("pre_big_fuse", {**given, "x": x}, "preset=deepseek")
            for name, values in expected.items():
                self.close(fused[name], values, bound)
            coefficients, _ = self.evaluate("coeffs_fwd", given, *sizes)
            raw, _ = self.evaluate("split_mixes_fwd", given, *sizes)
            for name in ("pre", "post"):
                self.close(coefficients[name], expected[name], bound)
                self.close(raw[name], expected[name], bound)
            self.close(coefficients["mix"], expected["mix"], bound)
            self.close(ref.sinkhorn(raw["logits"], options).astype(np.float32), expected["mix"], bound)

    def test_pre_big_fuse_with_norm_weight_and_half_types(self):
        n, channels, m = 4, 40, 24
        x, weight = ref.to_bf16(self.normal(5, n, channels)), self.normal(channels)
        proj, sqsum = self.normal(2, 5, m), 1 + self.normal(2, 5) ** 2 * n * channels
        scale, base = self.normal(3), self.normal(m)
        given = {"proj": proj, "sqsum": sqsum, "x": x, "scale": scale, "base": base, "norm_weight": weight}
        out, _ = self.evaluate("pre_big_fuse", given, "preset=deepseek", "dtype=bf16")
        expected = ref.pre_big_fuse(proj, sqsum, x, scale, base, ref.PRESETS["deepseek"], weight)
        self.close(out["layer_input"], expected["layer_input"], BF16)
        for name in ("pre", "post", "mix"):
            self.close(out[name], expected[name], fp32_bound(n, channels))

    def test_static_layer_defaults_to_mhc_cu(self):
        x, weight = self.normal(5, 4, 48), self.normal(48)
        h = {"h_pre": self.normal(4), "h_post": self.normal(4), "h_res": self.normal(4, 4)}
        out, _ = self.evaluate("static_layer_fwd", {"x": x, **h, "weight": weight})
        self.close(out["out"], ref.static_layer(x, *h.values(), weight, ref.PRESETS["mhc_cu"]), fp32_bound(4, 48))

    def test_dynamic_layer(self):
        n, channels = 4, 48
        x, weight = self.normal(5, n, channels), self.normal(channels)
        phi = [self.normal(rows, n * channels, scale=0.1) for rows in (n, n, n * n)]
        alpha, b = [self.normal(1) for _ in range(3)], [self.normal(n), self.normal(n), self.normal(n, n)]
        names = ("pre", "post", "res")
        given = {"x": x, "weight": weight}
        for prefix, arrays in (("phi", phi), ("alpha", alpha), ("b", b)):
            given.update({f"{prefix}_{name}": array for name, array in zip(names, arrays)})
        out, _ = self.evaluate("dynamic_layer_fwd", given)
        self.close(out["out"], ref.dynamic_layer(x, phi, alpha, b, weight, ref.PRESETS["mhc_cu"]), fp32_bound(n, channels))


class Gradients(ToolCase):
    """Each gradient along a random direction of every input, beside central differences of the formula in float64."""

    def check(self, op, forward, inputs, outputs, *settings, skip=()):
        """forward(**inputs) -> {output: array} in float64; `outputs`: shapes of those whose gradients are given."""
        given = {f"d_{name}": self.normal(*shape) for name, shape in outputs.items()}
        found, _ = self.evaluate(op, {**inputs, **given}, *settings)

        def loss(name, step, direction):
            moved = {key: np.asarray(value, np.float64) for key, value in inputs.items()}
            moved[name] = moved[name] + step * direction
            made = forward(**moved)
            return sum(np.sum(made[output] * given[f"d_{output}"]) for output in outputs)

        self.assertEqual(sorted(found), sorted(f"d_{name}" for name in inputs if name not in skip))
        for name in inputs:
            if name in skip:
                continue
            gradient = found[f"d_{name}"].astype(np.float64)
            self.assertEqual(gradient.shape, np.shape(inputs[name]))
            direction = self.rng.standard_normal(np.shape(inputs[name]))
            h = 1e-5
            slope = (loss(name, h, direction) - loss(name, -h, direction)) / (2 * h)
            size = np.linalg.norm(gradient) * np.linalg.norm(direction)
            self.assertLess(abs(np.sum(gradient * direction) - slope), 1e-5 * size + 1e-9, f"{op}: d_{name}")

    def test_sinkhorn(self):
        for preset in ("paper", "deepseek", "liger"):
            forward = lambda logits: {"mix": ref.sinkhorn(logits, ref.PRESETS[preset])}
            self.check("sinkhorn_bwd", forward, {"logits": self.normal(3, 4, 4)}, {"mix": (3, 4, 4)}, f"preset={preset}")

    def test_rmsnorm(self):
        forward = lambda x, weight: {"y": x / ref.rms(x, 1e-6)[:, None] * weight, "rms": ref.rms(x, 1e-6)}
        self.check("rmsnorm_bwd", forward, {"x": self.normal(5, 37), "weight": self.normal(37)}, {"y": (5, 37), "rms": (5,)})

    def test_rmsnorm_matmul(self):
        def forward(x, weight, norm_weight=1.0):
            rms = ref.rms(x, 1e-6)
            return {"y": x / rms[:, None] * norm_weight @ weight.T, "rms": rms}
        given = {"x": self.normal(5, 37), "weight": self.normal(11, 37), "norm_weight": self.normal(37)}
        self.check("rmsnorm_matmul_bwd", forward, given, {"y": (5, 11), "rms": (5,)})

    def test_apply_mix_and_post_static_and_per_token(self):
        x, y = self.normal(5, 3, 37), self.normal(5, 37)
        for pre in (self.normal(5, 3), self.normal(3)):
            forward = lambda x, pre: {"layer_input": ref.apply_mix(x, pre)}
            self.check("apply_mix_bwd", forward, {"x": x, "pre": pre}, {"layer_input": (5, 37)})
        for preset in ("paper", "deepseek"):
            for post, mix in ((self.normal(5, 3), self.normal(5, 3, 3)), (self.normal(3), self.normal(3, 3))):
                forward = lambda y, x, post, mix: {"out": ref.post(y, x, post, mix, ref.PRESETS[preset])}
                self.check("post_bwd", forward, {"y": y, "x": x, "post": post, "mix": mix}, {"out": (5, 3, 37)}, f"preset={preset}")

    def test_post_with_a_bias_and_padded_tokens(self):
        given = {"y": self.normal(5, 37), "x": self.normal(5, 3, 37), "post": self.normal(5, 3), "mix": self.normal(3, 3),
                 "bias": self.normal(37)}
        forward = lambda y, x, post, mix, bias: {"out": ref.post(y + bias, x, post, mix, ref.PRESETS["paper"])}
        self.check("post_bwd", forward, given, {"out": (5, 3, 37)})
        given["d_out"] = self.normal(5, 3, 37)
        alone, _ = self.evaluate("post_bwd", {**given, **{name: given[name][:3] for name in ("y", "x", "post", "d_out")}})
        padded, _ = self.evaluate("post_bwd", {**given, "num_valid_tokens": np.array([3], np.float32)})
        for name in ("d_mix", "d_bias"):
            self.assertTrue(np.array_equal(padded[name], alone[name]))
        for name in ("d_y", "d_x", "d_post"):
            self.assertTrue(np.array_equal(padded[name][:3], alone[name]))
            self.assertTrue(np.isnan(padded[name][3:]).all())

    def test_expand(self):
        out, _ = self.evaluate("expand_bwd", {"d_x": np.ones((2, 3, 8), np.float32)})
        self.assertTrue((out["d_h"] == 3).all())

    def test_pre_head_and_stages(self):
        n, channels, m = 3, 37, 15
        o = ref.PRESETS["deepseek"]
        inputs = {"x": self.normal(5, n, channels), "fn": self.normal(m, n * channels, scale=0.1), "scale": self.normal(3), "base": self.normal(m)}
        outputs = {"layer_input": (5, channels), "pre": (5, n), "post": (5, n), "mix": (5, n, n)}
        forward = lambda x, fn, scale, base, norm_weight=None: ref.pre(x, fn, scale, base, o, norm_weight)
        self.check("pre_bwd", forward, inputs, outputs, "preset=deepseek")
        self.check("pre_bwd", forward, {**inputs, "norm_weight": self.normal(channels)}, outputs, "preset=deepseek")
        phi = {**inputs, "fn": np.ascontiguousarray(inputs["fn"].T), "fn_norm_weight": self.normal(n * channels)}
        of_phi = lambda x, fn, scale, base, fn_norm_weight: ref.pre(x, fn.T * fn_norm_weight, scale, base, o)
        self.check("pre_bwd", of_phi, phi, outputs, "preset=deepseek", "fn_order=phi")
        head = {"x": inputs["x"], "fn": inputs["fn"][:n], "scale": self.normal(1), "base": self.normal(n)}
        forward = lambda x, fn, scale, base: {"layer_input": ref.head(x, fn, scale, base, o)}
        self.check("head_bwd", forward, head, {"layer_input": (5, channels)}, "preset=deepseek")
        before = {"y": self.normal(5, channels), "post": self.normal(5, n), "mix": self.normal(n, n), "bias": self.normal(channels)}
        both = lambda y, post, mix, bias, x, **a: forward(x=ref.post(y + bias, x, post, mix, o), **a)
        self.check("post_head_bwd", both, {**head, **before}, {"layer_input": (5, channels)}, "preset=deepseek")
        sizes = (f"n_streams={n}", f"hidden_dim={channels}", "preset=deepseek")
        stage = {"proj": self.normal(2, 5, m), "sqsum": 1 + self.normal(2, 5) ** 2 * n * channels, "scale": self.normal(3), "base": self.normal(m)}
        raw = lambda proj, sqsum, scale, base: ref.mixes(ref.logits(proj, sqsum, scale, base, n, channels, o), n, o)
        named = lambda parts, last: dict(zip(("pre", "post", last), parts))
        shapes = {"pre": (5, n), "post": (5, n)}
        self.check("split_mixes_bwd", lambda **a: named(raw(**a), "logits"), stage, {**shapes, "logits": (5, n, n)}, *sizes)

        def coeffs(**a):
            p, q, z = raw(**a)
            return named((p, q, ref.sinkhorn(z, o)), "mix")
        self.check("coeffs_bwd", coeffs, stage, {**shapes, "mix": (5, n, n)}, *sizes)

    def test_layers(self):
        n, channels, o = 4, 24, ref.PRESETS["mhc_cu"]
        x, weight = self.normal(5, n, channels), self.normal(channels)
        h = {"h_pre": self.normal(n), "h_post": self.normal(n), "h_res": self.normal(n, n)}
        forward = lambda x, h_pre, h_post, h_res, weight: {"out": ref.static_layer(x, h_pre, h_post, h_res, weight, o)}
        self.check("static_layer_bwd", forward, {"x": x, **h, "weight": weight}, {"out": (5, n, channels)})
        names = ("pre", "post", "res")
        given = {"x": x, "weight": weight}
        for prefix, shapes in (("phi", [(r, n * channels) for r in (n, n, n * n)]), ("alpha", [(1,)] * 3), ("b", [(n,), (n,), (n, n)])):
            given.update({f"{prefix}_{name}": self.normal(*shape, scale=0.1 if prefix == "phi" else 1.0) for name, shape in zip(names, shapes)})

        def dynamic(x, weight, **parts):
            group = lambda prefix: [parts[f"{prefix}_{name}"] for name in names]
            return {"out": ref.dynamic_layer(x, group("phi"), group("alpha"), group("b"), weight, o)}
        self.check("dynamic_layer_bwd", dynamic, given, {"out": (5, n, channels)})

    def test_what_is_given_under_an_outputs_name_is_added_to(self):
        n, channels, m = 3, 37, 15
        inputs = {"x": self.normal(5, n, channels), "fn": self.normal(m, n * channels, scale=0.1), "scale": self.normal(3), "base": self.normal(m),
                  "d_layer_input": self.normal(5, channels)}
        alone, _ = self.evaluate("pre_bwd", inputs)
        earlier = {name: self.normal(*values.shape) for name, values in alone.items()}
        for names in (["d_x"], ["d_fn", "d_scale", "d_base"], list(alone)):
            got, _ = self.evaluate("pre_bwd", {**inputs, **{name: earlier[name] for name in names}})
            for name, values in alone.items():
                expected = values + earlier[name] if name in names else values
                self.assertTrue(np.array_equal(got[name], expected), (names, name))
        files = [self.save(name, array) for name, array in {**inputs, "d_fn": earlier["d_fn"]}.items()]
        self.bad(2, ["d_fn", "d_base", "all parameters or none"], "mhc-eval", "pre_bwd", "--target", "host", "--in", *files, "--out-dir",
                 self.path("out"))

    def test_those_of_outputs_may_be_missing(self):
        n, channels, m = 3, 37, 15
        inputs = {"x": self.normal(5, n, channels), "fn": self.normal(m, n * channels, scale=0.1), "scale": self.normal(3), "base": self.normal(m),
                  "d_layer_input": self.normal(5, channels)}
        zeros = {"d_pre": np.zeros((5, n)), "d_post": np.zeros((5, n)), "d_mix": np.zeros((5, n, n))}
        with_zeros, _ = self.evaluate("pre_bwd", {**inputs, **zeros})
        without, _ = self.evaluate("pre_bwd", inputs)
        for name, values in without.items():
            self.assertTrue(np.array_equal(values, with_zeros[name]), name)
