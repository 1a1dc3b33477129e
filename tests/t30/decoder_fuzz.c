/* Pages drawn by seed through the guard of the library's decoder, as decoder_fuzz.py draws them, in C: a million takes
 * some minutes of CPU. After each piece the decoder's cursors must be in its buffers, the places at their ends
 * untouched, rows whole and sums small. Under valgrind nothing may be read or written out of place.
 *
 * cc -O2 -w -o fuzz tests/t30/decoder_fuzz.c -l:libspandsp.so.2 -lm && ./fuzz SEED COUNT
 */
#include "../../faxgw/t30/_media.c"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

decoder_t *t4_rx_init(void *s, const char *file, int output_encoding);
void t4_rx_set_rx_encoding(void *s, int encoding);
void t4_rx_set_image_width(void *s, int width);
int t4_rx_end_page(void *s);
int t4_rx_free(void *s);

enum { MH = 1, MR, MMR, MAX_BITS = 65536 * 8, TRAIL = 64, TRACE = 7, SHORT = 600 };
static const int WIDTHS[] = {1728, 1728, 1728, 864, 2048, 2432, 3456, 4864};
static const int SIZES[] = {256, 256, 64, 54, 1, 255, 33}; /* octets that come at once */
static const char *WHITE_0 = "00110101", *BLACK_0 = "0000110111", *HORIZONTAL = "001", *PASS = "0001",
                  *END_OF_LINE = "000000000001";
/* Codes of all three codings, extensions, and what is none; from FIRST_VERTICAL on ten vertical modes. */
static const char *CODES[] = {
    "00110101", "0000110111", "001", "0001", "000000011111", "000000000001", "0000000000011", "0000000000010", "1", "1",
    "1", "1", "011", "010", "000011", "000010", "0000011", "0000010", "0000001111", "000000", "11", "010011011",
    "11011", "000111", "010", "0000001", "00000001000", "0000000", "10011", "0111", "0000110010110"};
enum { COUNT_OF_CODES = sizeof CODES / sizeof *CODES, FIRST_VERTICAL = 8 };

static uint64_t state;
static uint8_t page[MAX_BITS / 8 + 16];
static int bits;

static uint32_t below(uint32_t limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16) % limit;
}

static void put_bit(int one)
{
    if (bits < MAX_BITS) {
        page[bits >> 3] |= (uint8_t)((one != 0) << (bits & 7));
        bits++;
    }
}

static void put_code(const char *code)
{
    for (; *code; code++)
        put_bit(*code == '1');
}

static void put_codes(uint32_t count)
{
    while (count--)
        put_code(CODES[below(COUNT_OF_CODES)]);
}

static void put_end_of_line(int coding)
{
    put_code(END_OF_LINE);
    if (coding == MR)
        put_bit(below(2));
}

/* A few codes again and again. */
static void repeated(void)
{
    const char *few[5];
    uint32_t count = 1 + below(5), times = below(20) ? below(1500) : below(60000), i;
    put_codes(below(20));
    for (i = 0; i < count; i++)
        few[i] = CODES[below(COUNT_OF_CODES)];
    while (times-- && bits < MAX_BITS)
        for (i = 0; i < count; i++)
            put_code(few[i]);
}

/* Rows that leave as much behind them as they can, and pass codes over it. */
static void stale(int coding, int width)
{
    int rows = 1 + (int)below(4), pairs, passes;
    while (rows--) {
        pairs = below(4) ? (width + (int)below(80) - 40 + (below(3) ? 0 : (int)below(300))) / 2 : (int)below(100);
        while (pairs-- > 0) {
            if (coding != MH && below(200))
                put_code(HORIZONTAL);
            put_code(WHITE_0);
            put_code(BLACK_0);
        }
        put_codes(below(30));
        if (below(2))
            put_end_of_line(coding);
        else
            put_code("111111111");
        for (passes = (int)(below(3) ? below(40) : below(800)); passes > 0; passes--)
            put_code(PASS);
    }
    put_codes(below(40));
}

/* Rows that end where they should, mostly. */
static void picture(int coding, int width)
{
    int rows = 1 + (int)below(30), at, black, count;
    while (rows--) {
        if (coding != MH && below(2)) {
            for (count = 1 + (int)below(60); count > 0; count--)
                put_code(CODES[FIRST_VERTICAL + below(10)]);
        } else {
            for (at = black = 0; at < width && below(60); at += 2, black ^= 1) {
                if (coding != MH && !black)
                    put_code(HORIZONTAL);
                put_code(black ? "11" : "0111");
            }
        }
        if (coding != MMR)
            put_end_of_line(coding);
    }
}

static void draw(int coding, int width)
{
    int kind = (int)below(8), count;
    memset(page, 0, sizeof page);
    bits = 0;
    if (coding != MMR || !below(4))
        put_end_of_line(coding);
    if (kind == 0)
        put_codes(below(2000));
    else if (kind <= 2)
        repeated();
    else if (kind <= 4)
        stale(coding, width);
    else if (kind == 5)
        for (count = (int)below(4000); count > 0; count--)
            put_bit(below(2));
    else
        picture(coding, width);
    for (count = below(3) ? 0 : (int)below(12); count > 0 && bits; count--) {
        uint32_t at = below((uint32_t)bits);
        page[at >> 3] ^= (uint8_t)(1 << (at & 7));
    }
}

static int is_sound(const decoder_t *s, int reach)
{
    return s->a_cursor >= 0 && s->a_cursor < reach && s->b_cursor >= 0 && s->b_cursor < reach
        && s->run_length <= 2 * MAX_RUN && s->run_length >= -2 * MAX_RUN && s->image_length <= MAX_ROWS + 8 * PIECE + 13
        && s->image_size == s->image_length * s->bytes_per_row && s->image_size <= s->image_buffer_size;
}

/* 0: all was well to the end. */
static int feed_page(decoder_t *s, int length, int reach, int by_bits, int size)
{
    int at, i, ended = 0;
    for (at = 0; at < length && !ended; at += size) {
        int count = length - at < size ? length - at : size;
        uint8_t *copy = malloc((size_t)count); /* so that valgrind sees its ends */
        memcpy(copy, page + at, (size_t)count);
        if (by_bits)
            for (i = 0; i < 8 * count && !ended; i++)
                ended = decoder_put_bit(s, copy[i >> 3] >> (i & 7) & 1);
        else if (size == 1)
            ended = decoder_put_byte(s, copy[0]);
        else
            ended = decoder_put_chunk(s, copy, count);
        free(copy);
        if (!is_sound(s, reach))
            return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 2 ? strtoull(argv[1], NULL, 10) : 1;
    long count = argc > 2 ? atol(argv[2]) : 1000, number, marks[HARM_MEMORY + 1] = {0};
    int file = memfd_create("decoded", 0), i;
    char name[64];

    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    for (number = 0; number < count; number++) {
        int width, coding, places, length;
        decoder_t *s;
        state = (seed + (uint64_t)number) * 0x9E3779B97F4A7C15ull | 1;
        for (i = 0; i < 8; i++)
            below(2);
        width = WIDTHS[below(sizeof WIDTHS / sizeof *WIDTHS)];
        coding = MH + (int)below(3);
        draw(coding, width);
        length = (bits + 7) / 8;
        if (!(s = t4_rx_init(NULL, name, MMR)))
            return 2;
        t4_rx_set_rx_encoding(s, coding);
        t4_rx_set_image_width(s, width);
        decoder_start(s);
        places = width + ROOM;
        for (i = places - TRAIL; i < places; i++)
            s->cur_runs[i] = s->ref_runs[i] = TRACE;
        i = length < SHORT && !below(5);
        if (feed_page(s, length, places - TRAIL, i, SIZES[below(sizeof SIZES / sizeof *SIZES)])) {
            printf("page %ld is not sound: runs %d and %d\n", number, s->a_cursor, s->b_cursor);
            return 1;
        }
        for (i = places - TRAIL; i < places; i++)
            if (s->cur_runs[i] != TRACE || s->ref_runs[i] != TRACE) {
                printf("page %ld wrote to the end of a buffer\n", number);
                return 1;
            }
        marks[s->mark]++;
        t4_rx_end_page(s);
        t4_rx_free(s);
        if (ftruncate(file, 0))
            return 2;
    }
    printf("%ld pages: none %ld, runs %ld, rows %ld\n", count, marks[0], marks[HARM_RUNS], marks[HARM_ROWS]);
    return 0;
}
