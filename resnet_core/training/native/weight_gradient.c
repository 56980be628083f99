/* The gradient of a 3x3 convolution's weights (stride 1 or 2, padding 1, no groups) in bfloat16, for processors that multiply pairs of it.

   dw[o, i, ky, kx] is the sum over all pixels of dy of dy[o] there and x[i] at the pixel's neighbour (ky - 1, kx - 1). The processor multiplies and
   adds two numbers at once, so pixels of a row are put side by side: of dy each once with its neighbour, of x each with the one that is a
   stride to the right, since a pair of dy meets three of x. The sums of 3 x 8 x 16 numbers stay in registers while some
   images go by. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512BF16__) && !defined(__AMX_BF16__) /* with AMX, matrices at a time, PyTorch's own way is faster */
#include <immintrin.h>

enum { LANES = 16, FEW = 8, SIDE = 3, ROUNDS = 256 /* pairs that go by, about, before sums are written */, MOST_IMAGES = 8, LINE = 64 };

#define INLINE static inline __attribute__((always_inline))

/* 16 channels of a pixel, a word each */
INLINE __m512i pixel(const uint16_t *from) { return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)from)); }

/* `later` in the upper halves */
INLINE __m512i both(__m512i earlier, __m512i later) { return _mm512_or_si512(earlier, _mm512_slli_epi32(later, 16)); }

INLINE __m512 dot(__m512 sum, __m512i a, const uint32_t *b) {
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)_mm512_set1_epi32((int)*b));
}

/* Of a row, which is zero beyond its ends. */
INLINE __m512i pixel_or_zero(const uint16_t *row, long w, long width, long channels) {
    return w >= 0 && w < width ? pixel(row + w * channels) : _mm512_setzero_si512();
}

/* An image (height, width, channels) to pairs [channels / FEW][height][width + 2][FEW]; the first begins before the row. */
static void slide(const uint16_t *image, uint32_t *pairs, long height, long width, long channels, int stride, long apart) {
    for (long h = 0; h < height; h++)
        for (long c = 0; c < channels; c += LANES) {
            const uint16_t *row = image + h * width * channels + c;
            uint32_t *to = pairs + c / FEW * apart + h * (width + 2) * FEW;
            for (long w = 0; w < width + 2; w++) {
                __m512i pair = both(pixel_or_zero(row, w - 1, width, channels), pixel_or_zero(row, w - 1 + stride, width, channels));
                _mm256_storeu_si256((__m256i *)(to + w * FEW), _mm512_castsi512_si256(pair));
                _mm256_storeu_si256((__m256i *)(to + apart + w * FEW), _mm512_extracti64x4_epi64(pair, 1));
            }
        }
}

/* An image to pairs [channels / LANES][height][half of the width][LANES]: (first, second), (third, fourth), ... */
static void couple(const uint16_t *image, uint32_t *pairs, long height, long width, long channels, long apart) {
    long count = (width + 1) / 2;
    for (long h = 0; h < height; h++)
        for (long c = 0; c < channels; c += LANES) {
            const uint16_t *row = image + h * width * channels + c;
            uint32_t *to = pairs + c / LANES * apart + h * count * LANES;
            for (long w = 0; w < width; w += 2) {
                __m512i pair = both(pixel(row + w * channels), pixel_or_zero(row, w + 1, width, channels));
                _mm512_storeu_si512(to + w / 2 * LANES, pair);
            }
        }
}

/* To sums [SIDE][SIDE][in][out]; `count` pairs are in a row of dy. */
static void add_images(const uint32_t *x, const uint32_t *dy, float *sums, long images, long height, long width, long in, long out,
                       long count, int stride, long x_apart, long dy_apart) {
    long dy_height = (height - 1) / stride + 1;
    for (long i = 0; i < in; i += FEW) for (long ky = 0; ky < SIDE; ky++) for (long o = 0; o < out; o += LANES) {
        __m512 sum[SIDE][FEW];
        for (int kx = 0; kx < SIDE; kx++) for (int k = 0; k < FEW; k++) sum[kx][k] = _mm512_setzero_ps();
        for (long n = 0; n < images; n++) for (long h = 0; h < dy_height; h++) {
            long from = h * stride + ky - 1;
            if (from < 0 || from >= height) continue;
            const uint32_t *a = dy + o / LANES * dy_apart + (n * dy_height + h) * count * LANES;
            const uint32_t *b = x + i / FEW * x_apart + (n * height + from) * (width + 2) * FEW;
            for (long w = 0; w < count; w++, a += LANES, b += 2 * stride * FEW) {
                __m512i pair = _mm512_loadu_si512(a);
                #pragma GCC unroll 3
                for (int kx = 0; kx < SIDE; kx++)
                    #pragma GCC unroll 8
                    for (int k = 0; k < FEW; k++) sum[kx][k] = dot(sum[kx][k], pair, b + kx * FEW + k);
            }
        }
        for (int kx = 0; kx < SIDE; kx++) for (int k = 0; k < FEW; k++) {
            float *to = sums + ((ky * SIDE + kx) * in + i + k) * out + o;
            _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), sum[kx][k]));
        }
    }
}

/* A square of LANES inputs and outputs, turned: a line of the cache is then read and written once. */
static void add_threads(const float *sums, long apart, int threads, long row, float *to, long to_row) {
    for (int o = 0; o < LANES; o++)
        for (int i = 0; i < LANES; i++) {
            float sum = 0;
            for (int thread = 0; thread < threads; thread++) sum += sums[thread * apart + i * row + o];
            to[o * to_row + i] = sum;
        }
}

int has_weight_gradient(void) { return 1; }

/* x (images, height, width, in), dy (images, height / stride, width / stride, both rounded up, out), dw (out, 3, 3, in) in float32; in and out are multiples
   of 16. 0 is success. */
int weight_gradient(const uint16_t *x, const uint16_t *dy, float *dw, long images, long height, long width, long in, long out,
                    int stride, int threads) {
    long dy_height = (height - 1) / stride + 1, dy_width = (width - 1) / stride + 1, count = (dy_width + 1) / 2;
    long size = SIDE * SIDE * in * out, some = ROUNDS / (dy_height * count);
    some = some < 1 ? 1 : some > MOST_IMAGES ? MOST_IMAGES : some;
    long x_apart = some * height * (width + 2) * FEW, dy_apart = some * dy_height * count * LANES;
    long x_size = in / FEW * x_apart, dy_size = out / LANES * dy_apart;
    float *sums = aligned_alloc(LINE, threads * size * sizeof *sums); /* all sizes are multiples of it */
    uint32_t *pairs = aligned_alloc(LINE, threads * (x_size + dy_size) * sizeof *pairs);
    if (sums) memset(sums, 0, threads * size * sizeof *sums);
    if (!sums || !pairs) {
        free(sums), free(pairs);
        return 1;
    }
    #pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int thread = 0; thread < threads; thread++) {
        long to = images * (thread + 1) / threads;
        uint32_t *of_x = pairs + thread * (x_size + dy_size), *of_dy = of_x + x_size;
        for (long n = images * thread / threads; n < to; n += some) {
            long now = n + some < to ? some : to - n;
            for (long k = 0; k < now; k++) {
                slide(x + (n + k) * height * width * in, of_x + k * height * (width + 2) * FEW, height, width, in, stride, x_apart);
                couple(dy + (n + k) * dy_height * dy_width * out, of_dy + k * dy_height * count * LANES, dy_height, dy_width, out, dy_apart);
            }
            add_images(of_x, of_dy, sums + thread * size, now, height, width, in, out, count, stride, x_apart, dy_apart);
        }
    }
    #pragma omp parallel for num_threads(threads) collapse(2)
    for (long k = 0; k < SIDE * SIDE; k++) for (long i = 0; i < in; i += LANES) for (long o = 0; o < out; o += LANES)
        add_threads(sums + (k * in + i) * out + o, size, threads, out, dw + (o * SIDE * SIDE + k) * in + i, SIDE * SIDE * in);
    free(sums), free(pairs);
    return 0;
}

#else

int has_weight_gradient(void) { return 0; }

#endif
