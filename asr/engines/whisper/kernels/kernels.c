/* The functions that Python calls. OpenMP's are those of the library that torch brings. */
#include "decoder.h"
#include "encoder.h"

/* Multiply rows [count, in] → [count, out].
   Few rows are shared by outputs, many by rows. panels: [threads, CHUNK, in]. */
void multiply(const Matrix *matrix, const float *x, int64_t count, int64_t has_gelu, float *y,
              uint8_t *panels) {
    After after = has_gelu ? GELU : PLAIN;
#pragma omp parallel
    {
        int64_t thread = omp_get_thread_num(), threads = omp_get_num_threads();
        uint8_t *own = panels + thread * CHUNK * matrix->in;
        int64_t share = count > CHUNK ? (count + threads - 1) / threads : count;
        int64_t first = count > CHUNK ? LEAST(share * thread, count) : 0;
        int64_t last = LEAST(first + share, count);
        for (int64_t r = first; r < last; r += CHUNK) {
            const float *rows = x + r * matrix->in;
            float *place = y + r * matrix->out;
            int64_t some = LEAST(last - r, CHUNK);
            if (count > CHUNK)
                multiply_chunk(rows, some, NULL, matrix, after, place, own);
            else
                multiply_share(rows, some, NULL, matrix, after, place, own);
        }
    }
}

/* Store a window's keys and values for each layer; all quantize its frames in the same way. */
void store_window(const Matrix *layers, const Window *window) {
#pragma omp parallel
    store_blocks(layers, window);
}

/* Decode a token of every row: x becomes what the last layer gives. */
void decode(const DecoderLayer *layers, const Step *step) {
#pragma omp parallel
    for (int64_t layer = 0; layer < step->layers; layer++)
        decoder_layer(layers + layer, step, layer);
}

#ifdef __AVX512BF16__
/* Encode a window: x becomes what the last layer gives. */
void encode(const EncoderLayer *layers, const Encoding *encoding) {
#pragma omp parallel
    for (int64_t layer = 0; layer < encoding->layers; layer++)
        encoder_layer(layers + layer, encoding);
}
#endif
