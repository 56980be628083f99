/* y = relu(batch_norm(x)) or relu(batch_norm(x) + other) of a training step, and the way back.

   Tensors are channels_last: `rows` rows (images x height x width) of `channels` numbers, bfloat16 (`half`) or float32. Sums are taken in
   float32 over a few rows and in double beyond them. PyTorch goes over such a tensor two or three times for the norm, and again for
   the add and for the ReLU; here two passes do all of it, each way, and nothing is rounded in between.

   Vectors of 16 floats are written with the extension that GCC and Clang share; the compiler cuts them to what the processor has. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

#define LANES 16
#define MOST 4   /* vectors side by side: their sums and factors fit into the registers */
#define BLOCK 64 /* rows whose sum stays in float32 */
#define FEW 32   /* rows that tell about where a channel's mean lies */
#define INLINE static inline __attribute__((always_inline))
#define EACH(v) for (int v = 0; v < vectors; v++)

typedef float floats __attribute__((vector_size(4 * LANES)));
typedef int32_t ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));
typedef uint16_t halves __attribute__((vector_size(2 * LANES)));

INLINE floats of(const float *from) {
    floats f;
    memcpy(&f, from, sizeof f);
    return f;
}

INLINE floats load(const void *from, long at, int half) {
    if (!half) return of((const float *)from + at);
    halves h;
    memcpy(&h, (const uint16_t *)from + at, sizeof h);
    return (floats)(__builtin_convertvector(h, words) << 16);
}

INLINE float number(const void *from, long at, int half) {
    uint32_t word = half ? (uint32_t)((const uint16_t *)from)[at] << 16 : ((const uint32_t *)from)[at];
    float f;
    memcpy(&f, &word, sizeof f);
    return f;
}

INLINE void store(void *to, long at, floats f, int half) {
    if (!half) {
        memcpy((float *)to + at, &f, sizeof f);
        return;
    }
#ifdef __AVX512BF16__
    __m256bh h = _mm512_cvtneps_pbh((__m512)f);
#else
    words w = (words)f, rounded = (w + 0x7fff + ((w >> 16) & 1)) >> 16, nan = (words)(f != f); /* to nearest, ties to even */
    halves h = __builtin_convertvector((nan & 0x7fc0) | (~nan & rounded), halves);
#endif
    memcpy((uint16_t *)to + at, &h, sizeof h);
}

INLINE floats unless(ints mask, floats f) { return (floats)((ints)f & ~mask); } /* so NaN passes a ReLU, as in PyTorch */

/* What a pass reads and writes; factors are repeated until they fill a row of `wide` numbers, a multiple of LANES. */
struct pass {
    const void *x, *other, *y, *dy, *dy2;
    void *to, *shortcut;
    const float *scale, *shift, *centre, *slope, *rest;
    double *sums, *products;
    long wide;
};

INLINE void add_up(double *into, floats f) {
    for (int i = 0; i < LANES; i++) into[i] += f[i];
}

/* sums of x - centre and of its square */
INLINE void measure(const struct pass *p, long from, long to, long column, int half, int vectors) {
    floats sum[MOST], square[MOST], centre[MOST];
    EACH(v) {
        sum[v] = square[v] = (floats){0};
        centre[v] = of(p->centre + column + LANES * v);
    }
    for (long row = from; row < to; row++) EACH(v) {
        floats d = load(p->x, row * p->wide + column + LANES * v, half) - centre[v];
        sum[v] += d;
        square[v] += d * d;
    }
    EACH(v) {
        add_up(p->sums + column + LANES * v, sum[v]);
        add_up(p->products + column + LANES * v, square[v]);
    }
}

INLINE void normalise(const struct pass *p, long from, long to, long column, int half, int vectors, int adds) {
    floats scale[MOST], shift[MOST], centre[MOST];
    EACH(v) {
        scale[v] = of(p->scale + column + LANES * v);
        shift[v] = of(p->shift + column + LANES * v);
        centre[v] = of(p->centre + column + LANES * v);
    }
    for (long row = from; row < to; row++) EACH(v) {
        long at = row * p->wide + column + LANES * v;
        floats f = (load(p->x, at, half) - centre[v]) * scale[v] + shift[v];
        if (adds) f += load(p->other, at, half);
        store(p->to, at, unless(f < 0, f), half);
    }
}

/* The gradient behind the ReLU, dz, of up to two gradients of y. Behind an add it is told by y, and kept: it is the other's too. */
INLINE floats gradient(const struct pass *p, long at, floats away, floats scale, floats shift, int half, int adds, int twice) {
    floats d = load(p->dy, at, half);
    if (twice) d += load(p->dy2, at, half);
    if (!adds) return unless(away * scale + shift <= 0, d);
    d = unless(load(p->y, at, half) <= 0, d);
    store(p->shortcut, at, d, half);
    return d;
}

/* sums of dz and of dz (x - mean) */
INLINE void measure_back(const struct pass *p, long from, long to, long column, int half, int vectors, int adds, int twice) {
    floats sum[MOST], product[MOST], centre[MOST], scale[MOST], shift[MOST];
    EACH(v) {
        sum[v] = product[v] = (floats){0};
        centre[v] = of(p->centre + column + LANES * v);
        scale[v] = of(p->scale + column + LANES * v);
        shift[v] = of(p->shift + column + LANES * v);
    }
    for (long row = from; row < to; row++) EACH(v) {
        long at = row * p->wide + column + LANES * v;
        floats away = load(p->x, at, half) - centre[v], d = gradient(p, at, away, scale[v], shift[v], half, adds, twice);
        sum[v] += d;
        product[v] += d * away;
    }
    EACH(v) {
        add_up(p->sums + column + LANES * v, sum[v]);
        add_up(p->products + column + LANES * v, product[v]);
    }
}

/* dx = scale dz + slope (x - mean) + rest */
INLINE void normalise_back(const struct pass *p, long from, long to, long column, int half, int vectors, int adds, int twice) {
    floats scale[MOST], shift[MOST], centre[MOST], slope[MOST], rest[MOST];
    EACH(v) {
        scale[v] = of(p->scale + column + LANES * v);
        shift[v] = of(p->shift + column + LANES * v);
        centre[v] = of(p->centre + column + LANES * v);
        slope[v] = of(p->slope + column + LANES * v);
        rest[v] = of(p->rest + column + LANES * v);
    }
    for (long row = from; row < to; row++) EACH(v) {
        long at = row * p->wide + column + LANES * v;
        floats away = load(p->x, at, half) - centre[v], d;
        d = adds ? load(p->shortcut, at, half) : gradient(p, at, away, scale[v], shift[v], half, 0, twice);
        store(p->to, at, d * scale[v] + away * slope[v] + rest[v], half);
    }
}

/* `half`, `vectors` and what a case adds are constants for the compiler, which makes a loop of its own of each. */
enum { MEASURE, NORMALISE, MEASURE_BACK, NORMALISE_BACK };

INLINE void rows(int what, const struct pass *p, long from, long to, int half, int vectors) {
    for (long column = 0; column < p->wide; column += LANES * vectors) switch (what) {
        case MEASURE: measure(p, from, to, column, half, vectors); break;
        case NORMALISE:
            if (p->other) normalise(p, from, to, column, half, vectors, 1);
            else normalise(p, from, to, column, half, vectors, 0);
            break;
        case MEASURE_BACK:
            if (p->y && p->dy2) measure_back(p, from, to, column, half, vectors, 1, 1);
            else if (p->y) measure_back(p, from, to, column, half, vectors, 1, 0);
            else if (p->dy2) measure_back(p, from, to, column, half, vectors, 0, 1);
            else measure_back(p, from, to, column, half, vectors, 0, 0);
            break;
        default:
            if (p->y) normalise_back(p, from, to, column, half, vectors, 1, 0);
            else if (p->dy2) normalise_back(p, from, to, column, half, vectors, 0, 1);
            else normalise_back(p, from, to, column, half, vectors, 0, 0);
    }
}

INLINE void side_by_side(int what, const struct pass *p, long from, long to, int half) {
    if (p->wide % (4 * LANES) == 0) rows(what, p, from, to, half, 4);
    else if (p->wide % (2 * LANES) == 0) rows(what, p, from, to, half, 2);
    else rows(what, p, from, to, half, 1);
}

/* A thread's share, a block of rows after the other. The second pass starts at the end, which the caches still have from the first. */
static void share(int what, const struct pass *p, long from, long to, int half) {
    long blocks = (to - from + BLOCK - 1) / BLOCK;
    for (long i = 0; i < blocks; i++) {
        long start = from + BLOCK * (what == NORMALISE || what == NORMALISE_BACK ? blocks - 1 - i : i);
        long end = start + BLOCK < to ? start + BLOCK : to;
        if (half) side_by_side(what, p, start, end, 1);
        else side_by_side(what, p, start, end, 0);
    }
}

/* All rows by all threads; each has sums of its own, 2 x wide, one after the other in `sums`. */
static void all(int what, struct pass p, long rows, int half, int threads, double *sums) {
    #pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int thread = 0; thread < threads; thread++) {
        struct pass own = p;
        own.sums = sums + 2 * p.wide * thread;
        own.products = own.sums + p.wide;
        share(what, &own, rows * thread / threads, rows * (thread + 1) / threads, half);
    }
}

/* Of one channel, over all threads and repetitions. */
static double total(const double *sums, long channel, long channels, long wide, int threads) {
    double found = 0;
    for (int thread = 0; thread < threads; thread++)
        for (long i = channel; i < wide; i += channels) found += sums[2 * wide * thread + i];
    return found;
}

/* Numbers in a row for the loops: `channels`, or so many rows at once that vectors are full. 0 where no number of them is. */
long row_width(long count, long channels) {
    for (long wide = LANES * MOST; wide >= LANES; wide /= 2)
        if (wide % channels == 0 && count % wide == 0) return wide;
    return channels % LANES == 0 ? channels : 0;
}

/* The norm as (x - centre) * scale + shift, the same numbers on both ways. */
static void affine(long wide, long channels, const float *weight, const float *bias, const float *mean, const float *deviation,
                   float *scale, float *shift, float *centre) {
    for (long i = 0; i < wide; i++) {
        long c = i % channels;
        scale[i] = weight[c] * deviation[c], shift[i] = bias[c], centre[i] = mean[c];
    }
}

/* mean, deviation (1 / sqrt(variance + eps)): (channels,), kept for the way back. 0 is success; else there is no memory. */
int norm_relu_forward(const void *x, const void *other, void *y, long count, long channels, int half, const float *weight, const float *bias,
            float *running_mean, float *running_variance, float momentum, float eps, float *mean, float *deviation, int threads) {
    long wide = row_width(count, channels), each = count / channels;
    float *factors = calloc(3 * wide, sizeof *factors), *scale = factors, *shift = scale + wide, *centre = shift + wide;
    double *sums = calloc(2 * wide * threads, sizeof *sums);
    if (!factors || !sums) {
        free(factors), free(sums);
        return 1;
    }
    /* the mean of a few values of a channel is near enough to that of all for the squares around it to lose no digits */
    long few = each < FEW ? each : FEW;
    for (long i = 0; i < wide; i++) {
        for (long k = 0; k < few; k++) centre[i] += number(x, each * k / few * channels + i % channels, half) / few;
        if (centre[i] - centre[i] != 0) centre[i] = 0; /* not finite: neither shall be what follows, but by itself */
    }
    struct pass p = {.x = x, .other = other, .to = y, .scale = scale, .shift = shift, .centre = centre, .wide = wide};
    all(MEASURE, p, count / wide, half, threads, sums);
    for (long c = 0; c < channels; c++) {
        double away = total(sums, c, channels, wide, threads) / each;
        double variance = total(sums + wide, c, channels, wide, threads) / each - away * away;
        if (variance < 0) variance = 0; /* NaN stays */
        double found = centre[c] + away;
        mean[c] = found, deviation[c] = 1 / sqrt(variance + eps);
        running_mean[c] += momentum * (found - running_mean[c]);
        running_variance[c] += momentum * (variance * each / (each - 1) - running_variance[c]);
    }
    affine(wide, channels, weight, bias, mean, deviation, scale, shift, centre);
    all(NORMALISE, p, count / wide, half, threads, sums);
    free(factors), free(sums);
    return 0;
}

/* `y` and `shortcut` where there was an `other`, whose gradient is written to `shortcut`; `dy2` is a second gradient of y, or NULL. */
int norm_relu_backward(const void *dy, const void *dy2, const void *x, const void *y, void *dx, void *shortcut, long count, long channels, int half,
             const float *weight, const float *bias, const float *mean, const float *deviation, float *of_weight, float *of_bias,
             int threads) {
    long wide = row_width(count, channels), each = count / channels;
    float *factors = calloc(5 * wide, sizeof *factors), *scale = factors, *shift = scale + wide, *centre = shift + wide;
    float *slope = centre + wide, *rest = slope + wide;
    double *sums = calloc(2 * wide * threads, sizeof *sums);
    if (!factors || !sums) {
        free(factors), free(sums);
        return 1;
    }
    affine(wide, channels, weight, bias, mean, deviation, scale, shift, centre);
    struct pass p = {.x = x, .y = y, .dy = dy, .dy2 = dy2, .to = dx, .shortcut = shortcut, .scale = scale, .shift = shift,
                     .centre = centre, .slope = slope, .rest = rest, .wide = wide};
    all(MEASURE_BACK, p, count / wide, half, threads, sums);
    for (long c = 0; c < channels; c++) {
        double sum = total(sums, c, channels, wide, threads), product = total(sums + wide, c, channels, wide, threads);
        of_bias[c] = sum, of_weight[c] = product * deviation[c];
        double along = product / each * deviation[c] * deviation[c];
        for (long i = c; i < wide; i += channels) slope[i] = -along * scale[c], rest[i] = -scale[c] * sum / each;
    }
    all(NORMALISE_BACK, p, count / wide, half, threads, sums);
    free(factors), free(sums);
    return 0;
}
