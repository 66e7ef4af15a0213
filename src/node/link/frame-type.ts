/**
 * `skb->pkt_type` (include/uapi/linux/if_packet.h).
 * @module
 */

/** To whom a frame is addressed, as the device that took it sees it (`skb->pkt_type`). */
export type FrameType = 'host' | 'broadcast' | 'multicast' | 'otherHost';
