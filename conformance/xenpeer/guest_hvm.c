/* An HVM guest: its RAM, special pages, parameters and device state. */
#include <string.h>

#include "fakexen.h"
#include "peer.h"
#include <xen/hvm/save.h>

static uint8_t context[64 << 10];
static size_t context_len;

/* Append an entry of random content; its body. */
static void *entry(uint16_t type, uint16_t instance, uint32_t length)
{
    struct hvm_save_descriptor d = { type, instance, length };
    uint8_t *body = context + context_len + sizeof(d);

    memcpy(context + context_len, &d, sizeof(d));
    fill(body, length, base(0xc0de0000 + type, instance), false);
    context_len += sizeof(d) + length;
    return body;
}

#define ENTRY(name, instance) \
    ((HVM_SAVE_TYPE(name) *)entry(HVM_SAVE_CODE(name), instance, HVM_SAVE_LENGTH(name)))

static void hvm_context(void)
{
    unsigned int v;

    *ENTRY(HEADER, 0) = (struct hvm_save_header){
        .magic = HVM_FILE_MAGIC, .version = HVM_FILE_VERSION,
        .changeset = ~0ull, .cpuid = 0x406f1, .gtsc_khz = fx.tsc.khz };
    for ( v = 0; v < fx.nr_vcpus; v++ )
        ENTRY(CPU, v);
    ENTRY(PIC, 0);
    ENTRY(PIC, 1);
    ENTRY(IOAPIC, 0);
    for ( v = 0; v < fx.nr_vcpus; v++ )
    {
        ENTRY(LAPIC, v);
        ENTRY(LAPIC_REGS, v);
    }
    ENTRY(PCI_IRQ, 0);
    ENTRY(ISA_IRQ, 0);
    ENTRY(PCI_LINK, 0);
    ENTRY(PIT, 0);
    ENTRY(RTC, 0);
    ENTRY(HPET, 0);
    ENTRY(PMTIMER, 0);
    for ( v = 0; v < fx.nr_vcpus; v++ )
    {
        ENTRY(MTRR, v);
        ENTRY(VMCE_VCPU, v);
        ENTRY(TSC_ADJUST, v);
    }
    entry(0, 0, 0);     /* END */
    if ( fx_set_blob(&fx.hvmctx, context, context_len) )
        no_memory();
}

void build_hvm(void)
{
    uint64_t special = opt.real_layout ? REAL_SPECIAL_PFN : opt.pages, pfn;

    guest.ram_pages = opt.pages;
    guest.version = zeroed(special + 8, sizeof(*guest.version));
    for ( pfn = 0; pfn < opt.pages; pfn++ )
    {
        if ( is_hole(pfn) )
            continue;
        fx_add_frame(pfn, 0);
        write_page(pfn, pfn);
    }
    for ( pfn = special; pfn < special + 8; pfn++ )
    {
        fx_add_frame(pfn, 0);
        write_page(pfn, pfn);
    }
    fx.params[HVM_PARAM_PAGING_RING_PFN] = special;
    fx.params[HVM_PARAM_MONITOR_RING_PFN] = special + 1;
    fx.params[HVM_PARAM_SHARING_RING_PFN] = special + 2;
    fx.params[HVM_PARAM_BUFIOREQ_PFN] = special + 3;
    fx.params[HVM_PARAM_STORE_PFN] = special + 4;
    fx.params[HVM_PARAM_IOREQ_PFN] = special + 5;
    fx.params[HVM_PARAM_IDENT_PT] = (special + 6) * FX_PAGE;
    fx.params[HVM_PARAM_CONSOLE_PFN] = special + 7;
    fx.params[HVM_PARAM_VM86_TSS_SIZED] = (0x80ull << 32) | 0xfc000;
    fx.params[HVM_PARAM_ACPI_IOPORTS_LOCATION] = 1;
    fx.params[HVM_PARAM_X87_FIP_WIDTH] = 8;
    hvm_context();
}
